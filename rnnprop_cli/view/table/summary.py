"""A benchmark as a table: one row for every optimizer on every problem, ranked, against the best tuned baseline.

A diverged run is a result: it has the final loss infinity. It stays out of the mean, which could not be printed
otherwise, but is counted beside it, enters the median and the interquartile mean, and puts its row behind all rows
that have none. A run that is stuck at chance has a final loss like any other, and is counted besides.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rnnprop_cli.records import ExperimentInfo, Phase, RunInfo
from rnnprop_cli.statistics import (
    Estimate,
    interquartile_mean,
    mean_with_interval,
    median_with_interval,
    paired_difference,
)
from rnnprop_cli.view.table.grouping import Seeds, by_problem, by_search, by_seed
from rnnprop_cli.view.table.paper import Published, find_published, published_numbers
from rnnprop_cli.view.table.problem_groups import group_of, group_order
from rnnprop_cli.view.table.rows import (
    NEVER_TIMED,
    Comparison,
    Cost,
    FinalLoss,
    HeldOut,
    Problem,
    SummaryRow,
    Target,
)
from rnnprop_cli.view.table.run_losses import chance_loss, count
from rnnprop_cli.view.table.searches import search_of
from rnnprop_cli.view.table.seed_groups import SeedGroup, Summary
from rnnprop_cli.view.table.targets import LoadCurves, time_to_target

REPORTED_PHASES: Final[tuple[Phase, ...]] = ("final", "default")
Member = tuple[Seeds, SummaryRow]


def summarize(
    experiment: ExperimentInfo, runs: Sequence[RunInfo], load_curves: LoadCurves | None = None
) -> Summary:
    """The table of a benchmark from its runs.

    Args:
        experiment: whose runs they are; its spec may hold the paper's numbers.
        runs: those of `REPORTED_PHASES` make rows, those of the search are added to the rows that they tuned.
        load_curves: loss curves by run id; without it, nothing is said of the time to the target.
    """
    problems = by_problem(runs)
    order = {problem: _problem_order(problem, members[0]) for problem, members in problems.items()}
    groups: list[SeedGroup] = []
    for problem in sorted(problems, key=order.__getitem__):
        groups += judged(experiment, problems[problem], load_curves)
    return Summary(experiment.facts.name, tuple(groups))


def judged(
    experiment: ExperimentInfo, runs: Sequence[RunInfo], load_curves: LoadCurves | None = None
) -> tuple[SeedGroup, ...]:
    """The groups of one problem: measured ones by rank and compared, then those of the search for rates."""
    published = published_numbers(experiment)
    groups = by_seed(runs)
    searches = by_search(groups)
    members: list[Member] = []
    for group in groups:
        if group.facts.phase in REPORTED_PHASES:
            row = _row(experiment.facts.name, group, published)
            if row.phase == "final" and row.lr_source == "tuned":
                search = search_of(searches.get(group.search_key, []), row.learning_rate, group.losses)
                row = replace(row, search=search)
            members.append((group, row))
    compared, best_id = _compared(members, load_curves)
    tuning = [group for group in groups if group.facts.phase == "tuning"]
    tuning.sort(key=lambda group: (group.facts.optimizer, group.facts.lr or 0.0, group.id))
    compared += [(group, _row(experiment.facts.name, group, ())) for group in tuning]
    return tuple(SeedGroup(group.id, group.runs, row, best_id) for group, row in compared)


def _row(bench: str, group: Seeds, published: Sequence[Published]) -> SummaryRow:
    facts = group.facts
    losses = list(group.losses.values())
    ended = [run.result for run in group.runs if run.result.status in ("done", "diverged")]
    return SummaryRow(
        bench=bench,
        group=group_of(group.runs[0]),
        problem=group.problem,
        optimizer=facts.optimizer,
        phase=facts.phase,
        is_baseline=facts.is_baseline,
        learning_rate=facts.lr,
        lr_source=facts.lr_source,
        counts=count(group.runs),
        final=FinalLoss(
            mean_with_interval([loss for loss in losses if math.isfinite(loss)]),
            median_with_interval(losses),
            interquartile_mean(losses),
        ),
        heldout=HeldOut(
            _estimate([result.heldout_loss for result in ended]),
            _estimate([result.heldout_accuracy for result in ended]),
        ),
        cost=Cost(
            _estimate([result.elapsed_s for result in ended]).centre,
            max((result.peak_bytes for result in ended if result.peak_bytes is not None), default=None),
        ),
        paper=find_published(published, group.runs[0]),
        chance_loss=chance_loss(group.runs[0]),
    )


def _estimate(values: Sequence[float | None]) -> Estimate:
    """Mean of what is there and finite."""
    return mean_with_interval([v for v in values if v is not None and math.isfinite(v)])


def _compared(members: Sequence[Member], load_curves: LoadCurves | None) -> tuple[list[Member], int | None]:
    """Rows of one problem, ranked, with their difference to the best tuned baseline; and that baseline's id."""
    ordered = sorted(members, key=lambda member: _rank_order(member[1]))
    best, chosen_by = _best_baseline(ordered)
    target = None if best is None else best[1].final.median.centre
    compared = []
    for rank, member in enumerate(ordered, 1):
        group, row = member
        row = replace(
            row,
            rank=rank if row.counts.seeds else None,
            is_best_baseline=member is best,
            baseline_chosen_by=chosen_by,
            target=Target(target, NEVER_TIMED),
        )
        if best is not None and member is not best and row.counts.seeds:
            found = paired_difference(group.losses, best[0].losses)
            comparison = Comparison(best[1].optimizer, found.percent, found.better, found.pairs)
            row = replace(row, comparison=comparison)
        if target is not None and load_curves is not None:
            row = replace(row, target=Target(target, time_to_target(group.runs, load_curves, target)))
        compared.append((group, row))
    return compared, None if best is None else best[0].id


def _best_baseline(ordered: Sequence[Member]) -> tuple[Member | None, str]:
    """The tuned baseline that all others are compared with, and what it was chosen by.

    Whoever is lowest on the seeds of a comparison is low there by luck too. So it is chosen by the tuning runs of the
    rates that the searches found; only that it diverges on none of the compared seeds, or on fewest, goes before.
    """
    baselines = [m for m in ordered if m[1].is_tuned_baseline and m[1].final.mean.centre is not None]
    if not baselines:
        return None, ""
    if any(row.search.promised.centre is None for _, row in baselines):
        return baselines[0], "compared seeds"

    def order(member: Member) -> tuple[float, float]:
        counts, promised = member[1].counts, member[1].search.promised.centre
        return counts.diverged / counts.seeds, math.inf if promised is None else promised

    return min(baselines, key=order), "tuning runs"


def _rank_order(row: SummaryRow) -> tuple[object, ...]:
    """Rows without results last; before them rows with diverged runs, by their share; then by mean."""
    counts, mean = row.counts, row.final.mean.centre
    share = counts.diverged / counts.seeds if counts.seeds else 1.0
    loss = math.inf if mean is None else mean
    return (counts.seeds == 0, share, loss, row.optimizer, row.phase, row.learning_rate or 0.0)


def _problem_order(problem: Problem, run: RunInfo) -> tuple[object, ...]:
    depth = -1 if problem.depth is None else problem.depth
    of_problem = (problem.dataset or "", problem.horizon, problem.optimizee, depth, problem.activation or "")
    return (*group_order(group_of(run)), *of_problem)
