"""A lane is one optimizer on one problem: its search for a learning rate, its final runs, its untuned runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rnnprop_cli.errors import SpecError, UsageError
from rnnprop_cli.plan.cells import CellBatch, Problem, problems
from rnnprop_cli.plan.seeds import FIRST_TUNING_SEED
from rnnprop_cli.plan.tuning import best_k, first_round, grid_rate
from rnnprop_cli.records import Phase
from rnnprop_cli.spec.bench import AnyOf, BenchSpec, LaneRule
from rnnprop_cli.spec.optimizees import dataset_of, depth_of
from rnnprop_cli.spec.optimizers import LearnedSpec, OptimizerSpec


@dataclass(frozen=True)
class Lane:
    """One optimizer on one problem."""

    spec: BenchSpec
    problem: Problem
    optimizer: OptimizerSpec

    @property
    def label(self) -> str:
        """e.g. "mnist mlp sigmoid d1 x100/adam"; `--only` is matched against it."""
        optimizee = self.problem.optimizee
        depth = depth_of(optimizee)
        parts = [
            dataset_of(optimizee) or "",
            optimizee.label,
            "" if depth is None else f"d{depth}",
            f"x{self.problem.horizon}",
        ]
        return f"{' '.join(part for part in parts if part)}/{self.optimizer.name}"

    @property
    def tuned(self) -> bool:
        """Whether its learning rate is searched."""
        return self.optimizer.lr == "tuned"

    @property
    def default_rate(self) -> float | None:
        """The library's own learning rate; None for the alpha that a learned optimizer was trained with."""
        return None if isinstance(self.optimizer, LearnedSpec) else self.optimizer.default_lr

    @property
    def untuned(self) -> bool:
        """Whether it is run at its default rate too. A learned optimizer's own alpha is a lane of its own."""
        return has_untuned(self.spec, self.optimizer)

    @property
    def seeds(self) -> int:
        """Final runs."""
        fitting = [rule.seeds for rule in self.spec.override if rule.seeds and matches(rule, self)]
        return fitting[-1] if fitting else self.spec.seeds

    @property
    def tuning_seeds(self) -> int:
        """Runs of every learning rate of the search."""
        fitting = [
            rule.tuning_seeds for rule in self.spec.override if rule.tuning_seeds and matches(rule, self)
        ]
        return fitting[-1] if fitting else self.spec.tuning.seeds

    @property
    def size(self) -> int:
        """Cells, if the search needs one round."""
        return lane_size(self.spec, self.optimizer, self.seeds, self.tuning_seeds)

    def first_ks(self) -> tuple[int, ...]:
        """The first round of the search; empty where nothing is searched."""
        return first_round(self.spec.tuning, self.optimizer.centre_k) if self.tuned else ()

    def tuning_batch(self, ks: tuple[int, ...]) -> CellBatch:
        """One round of the search, on seeds that the final runs never use."""
        first = self.spec.seed + FIRST_TUNING_SEED
        seeds = tuple(range(first, first + self.tuning_seeds))
        rates = tuple(grid_rate(k) for k in ks)
        return CellBatch(self.problem, self.optimizer, rates, seeds, "tuning")

    def fresh_batches(self, tried: Mapping[int, float]) -> list[CellBatch]:
        """The final runs at the best learning rate of the search, and for a searched one the untuned runs.

        Args:
            tried: k → mean final loss of the search; empty where nothing was searched.
        """
        best = best_k(tried)
        fixed = self.default_rate if isinstance(self.optimizer.lr, str | None) else self.optimizer.lr
        batches = [self._fresh(fixed if best is None else grid_rate(best), "final")]
        if self.untuned:
            batches.append(self._fresh(self.default_rate, "default"))
        return batches

    def first_batches(self) -> list[CellBatch]:
        """What will run if the search needs one round."""
        ks = self.first_ks()
        return ([self.tuning_batch(ks)] if ks else []) + self.fresh_batches({})

    def _fresh(self, rate: float | None, phase: Phase) -> CellBatch:
        seeds = tuple(range(self.spec.seed, self.spec.seed + self.seeds))
        return CellBatch(self.problem, self.optimizer, (rate,), seeds, phase)


def lane_size(spec: BenchSpec, optimizer: OptimizerSpec, seeds: int, tuning_seeds: int) -> int:
    """Cells of a lane, by arithmetic alone."""
    if optimizer.lr != "tuned":
        return seeds
    return spec.tuning.points * tuning_seeds + seeds * (2 if has_untuned(spec, optimizer) else 1)


def has_untuned(spec: BenchSpec, optimizer: OptimizerSpec) -> bool:
    """Whether an optimizer is run at its default rate beside the one that the search finds."""
    return spec.untuned and optimizer.lr == "tuned" and not isinstance(optimizer, LearnedSpec)


def matches(rule: LaneRule, lane: Lane) -> bool:
    """Whether a rule of the spec picks a lane. A setting that an optimizee does not have is never matched."""
    settings = lane.problem.optimizee.model_dump(mode="json")

    def fits(wanted: AnyOf | None, value: object) -> bool:
        return wanted is None or value in wanted

    return (
        all(key in settings and fits(wanted, settings[key]) for key, wanted in rule.where.items())
        and fits(rule.horizon, lane.problem.horizon)
        and fits(rule.optimizer, lane.optimizer.name)
    )


def lanes(spec: BenchSpec, only: str | None = None) -> list[Lane]:
    """Every problem with every optimizer, in the order of the file.

    Args:
        spec: the benchmark.
        only: a glob over `Lane.label`.

    Raises:
        UsageError: the glob matches nothing.
        SpecError: include and exclude leave nothing.
    """
    chosen = list(select_lanes(spec, only))
    if chosen:
        return chosen
    every = list(select_lanes(spec))
    if not every:
        raise SpecError([f"{spec.name}: include and exclude leave no lane to run"])
    some = ", ".join(repr(lane.label) for lane in every[:6])
    raise UsageError(f"--only '{only}' matches none of {some}{', ...' if len(every) > 6 else ''}")


def select_lanes(spec: BenchSpec, only: str | None = None) -> Iterator[Lane]:
    """The lanes that `lanes` lists, one by one; maybe none."""
    for problem in problems(spec):
        for optimizer in spec.optimizers:
            lane = Lane(spec, problem, optimizer)
            if spec.include and not any(matches(rule, lane) for rule in spec.include):
                continue
            if any(matches(rule, lane) for rule in spec.exclude):
                continue
            if only is None or fnmatchcase(lane.label, only):
                yield lane
