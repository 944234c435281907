"""What a table of a benchmark is made of: problems, rows, and the rates that a search has tried."""

from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from rnnprop_cli.records import LrSource, Phase


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
class RatePoint:
    """What the search found at one learning rate, over its tuning seeds."""

    learning_rate: float
    seeds: int  # runs that gave a result: done or diverged
    diverged: int
    stuck: int  # at chance
    failed: int
    missing: int  # queued, running or interrupted
    final_loss_mean: float | None  # over the runs that did not diverge, with its 95 % t-interval
    final_loss_low: float | None
    final_loss_high: float | None
    final_loss_min: float | None
    final_loss_max: float | None


class Confirmation(NamedTuple):
    """What the same optimizer on the same problem gave from another root seed, its search included."""

    root: int
    seeds: int
    learning_rate: float | None
    final_loss_mean: float | None
    final_loss_low: float | None
    final_loss_high: float | None


@dataclass(frozen=True)
class SummaryRow:
    """One optimizer at one learning rate on one problem, over its seeds. None: not available.

    `_low` and `_high` are the ends of 95 % intervals: Student's t for means and differences, a seeded percentile
    bootstrap for the median and the interquartile mean.
    """

    bench: str
    group: str  # how the problem differs from the paper's training task; see `problem_groups`
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
    stuck: int  # classified no better than chance, or worse; they are in the mean
    failed: int
    missing: int  # queued, running or interrupted
    final_loss_mean: float | None  # over the runs that did not diverge
    final_loss_low: float | None
    final_loss_high: float | None
    final_loss_median: float | None  # over all results; infinite if half of them diverged
    final_loss_median_low: float | None
    final_loss_median_high: float | None
    final_loss_iqm: float | None  # interquartile mean over all results
    final_loss_iqm_low: float | None
    final_loss_iqm_high: float | None
    heldout_loss_mean: float | None  # over the runs that have one
    heldout_loss_low: float | None
    heldout_loss_high: float | None
    heldout_accuracy_mean: float | None  # in [0, 1]
    heldout_accuracy_low: float | None
    heldout_accuracy_high: float | None
    elapsed_s: float | None  # mean of a run
    peak_bytes: int | None  # the greatest of the batches that its runs were part of
    is_best_baseline: bool = False
    # the tuned baseline that the following compare with; None on its own row
    best_baseline: str | None = None
    difference_percent: float | None = None  # paired by seed; below 0 is better
    difference_low: float | None = None
    difference_high: float | None = None
    seeds_better: int | None = None  # of seeds_paired
    seeds_paired: int | None = None
    target_loss: float | None = None  # the median final loss of the best tuned baseline
    target_steps: float | None = None  # until the smoothed loss is there, median over seeds; infinite: never
    target_s: float | None = None
    target_share: float | None = None  # of the seeds that get there
    paper_final_loss: float | None = None  # what the paper printed for this row
    paper_source: str | None = None
    rates: tuple[RatePoint, ...] = ()  # of a tuned row: the search, by learning rate
    search_runs: int = 0  # runs of that search
    tied_rates: tuple[float, ...] = ()  # those that it cannot tell from the best, the best among them
    # what the search promised of the chosen rate: mean over the runs that confirmed it (all of them, where none did)
    promised_mean: float | None = None
    promised_low: float | None = None
    promised_high: float | None = None
    promise_broken: bool = False  # the fresh seeds gave another mean, by a test at 1 %
    confirmed: tuple[Confirmation, ...] = ()  # from other root seeds, where that was run
    baseline_chosen_by: str = ""  # how the best tuned baseline was chosen: "tuning runs", or "compared seeds"
    chance_loss: float | None = None  # of guessing, where the problem is a classification

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
    notes: tuple[str, ...] = ()  # on the whole of it: where its weights come from

    @property
    def problems(self) -> list[tuple[Problem, list[SummaryRow]]]:
        """Rows by problem."""
        return [(problem, list(rows)) for problem, rows in groupby(self.rows, lambda row: row.problem)]
