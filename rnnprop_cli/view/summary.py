"""A benchmark as a table: one row for every optimizer on every problem, ranked, against the best tuned baseline.

A diverged run is a result: it has the final loss infinity. It stays out of the mean, which could not be printed
otherwise, but is counted beside it, enters the median and the interquartile mean, and puts its row behind all rows
that have none. A run that is stuck at chance has a final loss like any other, and is counted besides.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rnnprop_cli.records import ExperimentInfo, Phase, RunInfo
from rnnprop_cli.statistics import (
    Estimate,
    interquartile_mean,
    mean_with_interval,
    median_with_interval,
    paired_difference,
)
from rnnprop_cli.view.paper import Published, find_published, published_numbers
from rnnprop_cli.view.problem_groups import group_of, group_order
from rnnprop_cli.view.rows import Problem, Summary, SummaryRow
from rnnprop_cli.view.run_losses import chance_loss, losses_by_seed, missing, stuck
from rnnprop_cli.view.searches import searched
from rnnprop_cli.view.targets import LoadCurves, time_to_target

__all__ = ["REPORTED_PHASES", "Problem", "Summary", "SummaryRow", "summarize"]

REPORTED_PHASES: Final[tuple[Phase, ...]] = ("final", "default")


@dataclass(frozen=True)
class _Member:
    """A row and what it is compared by."""

    row: SummaryRow
    runs: tuple[RunInfo, ...]
    losses: dict[int, float]  # by seed; infinite where diverged


def summarize(
    experiment: ExperimentInfo, runs: Sequence[RunInfo], load_curves: LoadCurves | None = None
) -> Summary:
    """The table of a benchmark from its runs.

    Args:
        experiment: whose runs they are; its spec may hold the paper's numbers.
        runs: those of `REPORTED_PHASES` make rows, those of the search are added to the rows that they tuned.
        load_curves: loss curves by run id; without it, nothing is said of the time to the target.
    """
    groups: dict[tuple[Problem, str, Phase, bool, float | None, str], list[RunInfo]] = {}
    searches: dict[tuple[Problem, str, str], list[RunInfo]] = {}
    for run in runs:
        f = run.facts
        problem = Problem(f.dataset, f.horizon, f.optimizee, f.depth, f.activation)
        if f.phase in REPORTED_PHASES:
            # Runs of different settings are never averaged, whatever their labels say.
            key = (problem, f.optimizer, f.phase, f.is_baseline, f.lr, _settings(f.config_json))
            groups.setdefault(key, []).append(run)
        elif f.phase == "tuning":
            searches.setdefault((problem, f.optimizer, _searched_settings(f.config_json)), []).append(run)
    published = published_numbers(experiment)
    by_problem: dict[Problem, list[_Member]] = {}
    for (problem, optimizer, *_), members in groups.items():
        row = _row(experiment.facts.name, members, published)
        if row.phase == "final" and row.lr_source == "tuned":
            search = searches.get((problem, optimizer, _searched_settings(members[0].facts.config_json)), [])
            row = searched(row, search, losses_by_seed(members))
        by_problem.setdefault(problem, []).append(_Member(row, tuple(members), losses_by_seed(members)))
    rows: list[SummaryRow] = []
    for problem in sorted(by_problem, key=lambda problem: _problem_order(by_problem[problem][0].row)):
        rows += _compare(by_problem[problem], load_curves)
    return Summary(experiment.facts.name, tuple(rows))


def _searched_settings(config_json: str) -> str:
    """What the runs of a search share with the final runs of its winner."""
    return _settings(config_json, ("seed", "lr", "phase"))


def _settings(config_json: str, without: Sequence[str] = ("seed",)) -> str:
    """Everything that identifies a run but its seed."""
    config = json.loads(config_json)
    return json.dumps({name: value for name, value in config.items() if name not in without}, sort_keys=True)


def _row(bench: str, runs: Sequence[RunInfo], published: Sequence[Published]) -> SummaryRow:
    facts = runs[0].facts
    losses = list(losses_by_seed(runs).values())
    statuses = Counter(run.result.status for run in runs)
    finite = [loss for loss in losses if math.isfinite(loss)]
    mean = mean_with_interval(finite)
    middle = median_with_interval(losses)
    iqm = interquartile_mean(losses)
    ended = [run.result for run in runs if run.result.status in ("done", "diverged")]
    heldout_loss = _estimate([result.heldout_loss for result in ended])
    accuracy = _estimate([result.heldout_accuracy for result in ended])
    paper = find_published(published, facts)
    chance = chance_loss(facts)
    return SummaryRow(
        bench=bench,
        group=group_of(facts),
        dataset=facts.dataset,
        optimizee=facts.optimizee,
        depth=facts.depth,
        activation=facts.activation,
        horizon=facts.horizon,
        optimizer=facts.optimizer,
        phase=facts.phase,
        is_baseline=facts.is_baseline,
        learning_rate=facts.lr,
        lr_source=facts.lr_source,
        rank=None,
        seeds=len(losses),
        diverged=len(losses) - len(finite),
        stuck=stuck(chance, finite),
        failed=statuses["failed"],
        missing=missing(statuses),
        final_loss_mean=mean.centre,
        final_loss_low=mean.low,
        final_loss_high=mean.high,
        final_loss_median=middle.centre,
        final_loss_median_low=middle.low,
        final_loss_median_high=middle.high,
        final_loss_iqm=iqm.centre,
        final_loss_iqm_low=iqm.low,
        final_loss_iqm_high=iqm.high,
        heldout_loss_mean=heldout_loss.centre,
        heldout_loss_low=heldout_loss.low,
        heldout_loss_high=heldout_loss.high,
        heldout_accuracy_mean=accuracy.centre,
        heldout_accuracy_low=accuracy.low,
        heldout_accuracy_high=accuracy.high,
        elapsed_s=_estimate([result.elapsed_s for result in ended]).centre,
        peak_bytes=max((r.peak_bytes for r in ended if r.peak_bytes is not None), default=None),
        paper_final_loss=None if paper is None else paper.final_loss,
        paper_source=None if paper is None else paper.source,
        chance_loss=chance,
    )


def _estimate(values: Sequence[float | None]) -> Estimate:
    """Mean of what is there and finite."""
    return mean_with_interval([v for v in values if v is not None and math.isfinite(v)])


def _compare(members: Sequence[_Member], load_curves: LoadCurves | None) -> list[SummaryRow]:
    """Rows of one problem, ranked, with their difference to the best tuned baseline."""
    ordered = sorted(members, key=lambda member: _rank_order(member.row))
    best, chosen_by = _best_baseline(ordered)
    target = None if best is None else best.row.final_loss_median
    compared = []
    for rank, member in enumerate(ordered, 1):
        row = replace(
            member.row,
            rank=rank if member.row.seeds else None,
            is_best_baseline=member is best,
            target_loss=target,
            baseline_chosen_by=chosen_by,
        )
        if best is not None and member is not best and row.seeds:
            difference = paired_difference(member.losses, best.losses)
            row = replace(
                row,
                best_baseline=best.row.optimizer,
                difference_percent=difference.percent.centre,
                difference_low=difference.percent.low,
                difference_high=difference.percent.high,
                seeds_better=difference.better,
                seeds_paired=difference.pairs,
            )
        if target is not None and load_curves is not None:
            time = time_to_target(member.runs, load_curves, target)
            row = replace(row, target_steps=time.steps, target_s=time.seconds, target_share=time.share)
        compared.append(row)
    return compared


def _best_baseline(ordered: Sequence[_Member]) -> tuple[_Member | None, str]:
    """The tuned baseline that all others are compared with, and what it was chosen by.

    Whoever is lowest on the seeds of a comparison is low there by luck too. So it is chosen by the tuning runs of the
    rates that the searches found; only that it diverges on none of the compared seeds, or on fewest, goes before.
    """
    baselines = [m for m in ordered if m.row.is_tuned_baseline and m.row.final_loss_mean is not None]
    if not baselines:
        return None, ""
    if any(member.row.promised_mean is None for member in baselines):
        return baselines[0], "compared seeds"

    def order(member: _Member) -> tuple[float, float]:
        row = member.row
        return row.diverged / row.seeds, math.inf if row.promised_mean is None else row.promised_mean

    return min(baselines, key=order), "tuning runs"


def _rank_order(row: SummaryRow) -> tuple[object, ...]:
    """Rows without results last; before them rows with diverged runs, by their share; then by mean."""
    share = row.diverged / row.seeds if row.seeds else 1.0
    mean = math.inf if row.final_loss_mean is None else row.final_loss_mean
    return (row.seeds == 0, share, mean, row.optimizer, row.phase, row.learning_rate or 0.0)


def _problem_order(row: SummaryRow) -> tuple[object, ...]:
    depth = -1 if row.depth is None else row.depth
    return (
        *group_order(row.group),
        row.dataset or "",
        row.horizon,
        row.optimizee,
        depth,
        row.activation or "",
    )
