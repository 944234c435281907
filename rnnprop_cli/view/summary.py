"""A benchmark as a table: one row for every optimizer on every problem, ranked, against the best tuned baseline.

A diverged run is a result: it has the final loss infinity. It stays out of the mean, which could not be printed
otherwise, but is counted beside it, enters the median and the interquartile mean, and puts its row behind all rows
that have none.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, NamedTuple

from rnnprop_cli.records import ExperimentInfo, LrSource, Phase, RunInfo
from rnnprop_cli.view.statistics import (
    interquartile_mean,
    mean_with_interval,
    median,
    paired_difference,
)

REPORTED_PHASES: Final[tuple[Phase, ...]] = ("final", "default")


class Problem(NamedTuple):
    """What is optimised, for how long: the rows of one problem are compared with one another."""

    dataset: str | None
    horizon: int  # inner steps
    optimizee: str
    depth: int | None
    activation: str | None

    @property
    def title(self) -> str:
        """For headings, e.g. "mnist · mlp sigmoid · depth 1 · 100 steps"."""
        parts = [self.dataset, self.optimizee]
        parts += [None if self.depth is None else f"depth {self.depth}", f"{self.horizon:,} steps"]
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True)
class SummaryRow:
    """One optimizer at one learning rate on one problem, over its seeds. None: not available."""

    bench: str
    dataset: str | None
    optimizee: str
    depth: int | None
    activation: str | None
    horizon: int
    optimizer: str
    phase: Phase  # final: tuned, or as the spec fixed it; default: the library's learning rate
    is_baseline: bool
    learning_rate: float | None
    lr_source: LrSource
    rank: int | None  # within the problem, 1 is best; None without any result
    seeds: int  # runs that gave a result: done or diverged
    diverged: int
    failed: int
    missing: int  # queued, running or interrupted
    final_loss_mean: float | None  # over the runs that did not diverge, with its 95 % t-interval
    final_loss_low: float | None
    final_loss_high: float | None
    final_loss_median: float | None  # over all results; infinite if half of them diverged
    final_loss_iqm: float | None  # interquartile mean over all results, with its bootstrap interval
    final_loss_iqm_low: float | None
    final_loss_iqm_high: float | None
    heldout_loss_mean: float | None
    heldout_accuracy_mean: float | None  # in [0, 1]
    elapsed_s: float | None  # mean of a run
    is_best_baseline: bool = False
    best_baseline: str | None = (
        None  # the tuned baseline that the following compare with; None on its own row
    )
    difference_percent: float | None = None  # paired by seed; below 0 is better
    difference_low: float | None = None
    difference_high: float | None = None
    seeds_better: int | None = None  # of seeds_paired
    seeds_paired: int | None = None

    @property
    def problem(self) -> Problem:
        """The problem that the row belongs to."""
        return Problem(self.dataset, self.horizon, self.optimizee, self.depth, self.activation)

    @property
    def is_tuned_baseline(self) -> bool:
        """Whether it is a classical rule at the learning rate that this benchmark's search found."""
        return self.is_baseline and self.phase == "final" and self.lr_source == "tuned"

    @property
    def planned(self) -> int:
        """Seeds that the row should have."""
        return self.seeds + self.failed + self.missing

    @property
    def label(self) -> str:
        """The optimizer's name, marked where it runs untuned."""
        return f"{self.optimizer}, untuned" if self.phase == "default" else self.optimizer


@dataclass(frozen=True)
class Summary:
    """All rows of a benchmark, problem by problem, best first, and how complete they are."""

    bench: str
    rows: tuple[SummaryRow, ...]

    @property
    def problems(self) -> list[tuple[Problem, list[SummaryRow]]]:
        """Rows by problem."""
        return [(problem, list(rows)) for problem, rows in groupby(self.rows, lambda row: row.problem)]


def summarize(experiment: ExperimentInfo, runs: Sequence[RunInfo]) -> Summary:
    """The table of a benchmark from its runs; those of other phases than `REPORTED_PHASES` are left aside."""
    groups: dict[tuple[Problem, str, Phase, bool, float | None, str], list[RunInfo]] = {}
    for run in runs:
        f = run.facts
        if f.phase in REPORTED_PHASES:
            problem = Problem(f.dataset, f.horizon, f.optimizee, f.depth, f.activation)
            # Runs of different settings are never averaged, whatever their labels say.
            key = (problem, f.optimizer, f.phase, f.is_baseline, f.lr, _settings(f.config_json))
            groups.setdefault(key, []).append(run)
    by_problem: dict[Problem, list[tuple[SummaryRow, dict[int, float]]]] = {}
    for (problem, *_), members in groups.items():
        row = _row(experiment.facts.name, members)
        by_problem.setdefault(problem, []).append((row, _losses(members)))
    rows: list[SummaryRow] = []
    for problem in sorted(by_problem, key=_problem_order):
        rows += _compare(by_problem[problem])
    return Summary(experiment.facts.name, tuple(rows))


def _settings(config_json: str) -> str:
    """Everything that identifies a run but its seed."""
    config = json.loads(config_json)
    return json.dumps({name: value for name, value in config.items() if name != "seed"}, sort_keys=True)


def _losses(runs: Sequence[RunInfo]) -> dict[int, float]:
    """Final losses by seed of the runs that gave a result; a diverged one has infinity."""
    losses = {}
    for run in runs:
        loss = run.result.final_loss
        if run.result.status == "done" and loss is not None and math.isfinite(loss):
            losses[run.facts.seed] = loss
        elif run.result.status in ("done", "diverged"):
            losses[run.facts.seed] = math.inf
    return losses


def _row(bench: str, runs: Sequence[RunInfo]) -> SummaryRow:
    facts = runs[0].facts
    losses = list(_losses(runs).values())
    statuses = Counter(run.result.status for run in runs)
    finite = [loss for loss in losses if math.isfinite(loss)]
    mean = mean_with_interval(finite)
    iqm = interquartile_mean(losses)
    ended = [run.result for run in runs if run.result.status in ("done", "diverged")]
    return SummaryRow(
        bench=bench,
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
        failed=statuses["failed"],
        missing=statuses["queued"] + statuses["running"] + statuses["interrupted"],
        final_loss_mean=mean.centre,
        final_loss_low=mean.low,
        final_loss_high=mean.high,
        final_loss_median=median(losses),
        final_loss_iqm=iqm.centre,
        final_loss_iqm_low=iqm.low,
        final_loss_iqm_high=iqm.high,
        heldout_loss_mean=_mean([result.heldout_loss for result in ended]),
        heldout_accuracy_mean=_mean([result.heldout_accuracy for result in ended]),
        elapsed_s=_mean([result.elapsed_s for result in ended]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of what is there and finite."""
    return mean_with_interval([v for v in values if v is not None and math.isfinite(v)]).centre


def _compare(rows: Sequence[tuple[SummaryRow, dict[int, float]]]) -> list[SummaryRow]:
    """Rows of one problem, ranked, with their difference to the best tuned baseline."""
    ordered = sorted(rows, key=lambda each: _rank_order(each[0]))
    baselines = (
        (row, losses) for row, losses in ordered if row.is_tuned_baseline and row.final_loss_mean is not None
    )
    best, best_losses = next(baselines, (None, {}))
    compared = []
    for rank, (row, losses) in enumerate(ordered, 1):
        ranked = replace(row, rank=rank if row.seeds else None, is_best_baseline=row is best)
        if best is not None and row is not best and row.seeds:
            difference = paired_difference(losses, best_losses)
            ranked = replace(
                ranked,
                best_baseline=best.optimizer,
                difference_percent=difference.percent.centre,
                difference_low=difference.percent.low,
                difference_high=difference.percent.high,
                seeds_better=difference.better,
                seeds_paired=difference.pairs,
            )
        compared.append(ranked)
    return compared


def _rank_order(row: SummaryRow) -> tuple[object, ...]:
    """Rows without results last; before them rows with diverged runs, by their share; then by mean."""
    share = row.diverged / row.seeds if row.seeds else 1.0
    mean = math.inf if row.final_loss_mean is None else row.final_loss_mean
    return (row.seeds == 0, share, mean, row.optimizer, row.phase, row.learning_rate or 0.0)


def _problem_order(problem: Problem) -> tuple[object, ...]:
    depth = -1 if problem.depth is None else problem.depth
    return (problem.dataset or "", problem.horizon, problem.optimizee, depth, problem.activation or "")
