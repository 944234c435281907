"""What a table of a benchmark is made of: problems, rows, and the values that a row groups."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from rnnprop_cli.records import LrSource, Phase, RunFacts, with_activation
from rnnprop_cli.statistics import Estimate

UNKNOWN: Final = Estimate(None, None, None)


class Problem(NamedTuple):
    """What is optimised, for how long: the rows of one problem are compared with one another."""

    dataset: str | None
    horizon: int  # inner steps
    optimizee: str
    depth: int | None
    activation: str | None

    @classmethod
    def of(cls, facts: RunFacts) -> "Problem":
        """The problem that a run belongs to."""
        return cls(facts.dataset, facts.horizon, facts.optimizee, facts.depth, facts.activation)

    @property
    def network(self) -> str:
        """The optimizee with its activation."""
        return with_activation(self.optimizee, self.activation)

    @property
    def title(self) -> str:
        """For headings, e.g. "mnist · mlp sigmoid · depth 1 · 100 steps"."""
        parts = [self.dataset, self.network]
        parts += [None if self.depth is None else f"depth {self.depth}", f"{self.horizon:,} steps"]
        return " · ".join(part for part in parts if part)

    @property
    def short_title(self) -> str:
        """In few words, as `rnnprop bench` names it: "mnist mlp sigmoid d2 x100"."""
        depth = "" if self.depth is None else f"d{self.depth}"
        parts = (self.dataset or "", self.network, depth, f"x{self.horizon}")
        return " ".join(part for part in parts if part)

    @property
    def order(self) -> tuple[object, ...]:
        """Sorts problems by what is optimised, then by depth and horizon."""
        depth = -1 if self.depth is None else self.depth
        return self.dataset or "", self.optimizee, self.activation or "", depth, self.horizon


@dataclass(frozen=True)
class Counts:
    """How the runs ended."""

    seeds: int  # runs that gave a result: done or diverged
    diverged: int
    stuck: int  # classified no better than chance, or worse; they are in the mean
    failed: int
    missing: int  # queued, running or interrupted

    @property
    def planned(self) -> int:
        """Seeds that there should be."""
        return self.seeds + self.failed + self.missing


@dataclass(frozen=True)
class FinalLoss:
    """Centres of the final losses, each with its 95 % interval: Student's t for the mean, else a seeded bootstrap."""

    mean: Estimate  # over the runs that did not diverge
    median: Estimate  # over all results; infinite if half of them diverged
    iqm: Estimate  # interquartile mean over all results


@dataclass(frozen=True)
class HeldOut:
    """Means over the runs that were measured on the test split, with 95 % t-intervals."""

    loss: Estimate
    accuracy: Estimate  # in [0, 1]


@dataclass(frozen=True)
class Cost:
    """What a run took."""

    elapsed_s: float | None  # mean
    peak_bytes: int | None  # the greatest of the batches that the runs were part of


@dataclass(frozen=True)
class Comparison:
    """The difference to the best tuned baseline, paired by seed."""

    baseline: str
    percent: Estimate  # below 0 is better; 95 % t-interval
    better: int  # of the pairs
    pairs: int


class TimeToTarget(NamedTuple):
    """Medians over all seeds; a seed that never gets there has infinity, so half of such seeds make it infinite."""

    steps: float | None
    seconds: float | None
    share: float | None  # of the seeds that get there


@dataclass(frozen=True)
class Target:
    """How soon the smoothed loss comes down to the median final loss of the best tuned baseline."""

    loss: float | None
    time: TimeToTarget


@dataclass(frozen=True)
class PaperNumber:
    """What the paper printed for a row."""

    final_loss: float
    source: str


@dataclass(frozen=True)
class RatePoint:
    """What the search found at one learning rate, over its tuning seeds."""

    learning_rate: float
    counts: Counts
    loss: Estimate  # over the runs that did not diverge, with its 95 % t-interval
    lowest: float | None
    highest: float | None


@dataclass(frozen=True)
class Search:
    """How the learning rate of a row was found."""

    rates: tuple[RatePoint, ...] = ()  # by learning rate
    runs: int = 0
    tied: tuple[float, ...] = ()  # rates that it cannot tell from the best, the best among them
    # what it promised of the chosen rate: mean over the runs that confirmed it (all of them, where none did)
    promised: Estimate = UNKNOWN
    promise_broken: bool = False  # the fresh seeds gave another mean, by a test at 1 %


class Confirmation(NamedTuple):
    """What the same optimizer on the same problem gave from another root seed, its search included."""

    root: int
    seeds: int
    learning_rate: float | None
    loss: Estimate


NOT_SEARCHED: Final = Search()
NEVER_TIMED: Final = TimeToTarget(None, None, None)
NO_TARGET: Final = Target(None, NEVER_TIMED)


@dataclass(frozen=True)
class SummaryRow:
    """One optimizer at one learning rate on one problem, over its seeds. None: not available."""

    bench: str
    group: str  # how the problem differs from the paper's training task; see `problem_groups`
    problem: Problem
    optimizer: str
    phase: Phase  # final: tuned, or as the spec fixed it; default: the library's learning rate
    is_baseline: bool
    learning_rate: float | None
    lr_source: LrSource
    counts: Counts
    final: FinalLoss
    heldout: HeldOut
    cost: Cost
    paper: PaperNumber | None = None
    search: Search = NOT_SEARCHED  # of a tuned row
    rank: int | None = None  # within the problem, 1 is best; None without any result
    is_best_baseline: bool = False
    baseline_chosen_by: str = ""  # how the best tuned baseline was chosen: "tuning runs", or "compared seeds"
    comparison: Comparison | None = None  # None on that baseline's own row, and where there is none
    target: Target = NO_TARGET
    confirmed: tuple[Confirmation, ...] = ()  # from other root seeds, where that was run
    chance_loss: float | None = None  # of guessing, where the problem is a classification

    @property
    def is_tuned_baseline(self) -> bool:
        """Whether it is a classical rule at the learning rate that this benchmark's search found."""
        return self.is_baseline and self.phase == "final" and self.lr_source == "tuned"

    @property
    def label(self) -> str:
        """The optimizer's name, marked where it runs untuned."""
        return f"{self.optimizer}, untuned" if self.phase == "default" else self.optimizer
