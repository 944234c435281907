"""A lane is one optimizer on one problem: its search for a learning rate, its final runs, its untuned runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rnnprop_cli.components.datasets import short_name
from rnnprop_cli.components.optimizers.base import OptimizerSpec
from rnnprop_cli.components.plugins import IDENTITY
from rnnprop_cli.errors import SpecError, UsageError
from rnnprop_cli.plan.cells import CellBatch, Problem, problems
from rnnprop_cli.plan.tuning import LEAST_CONFIRMED, Round, Tried, best_k, first_round, grid_rate
from rnnprop_cli.records import Phase
from rnnprop_cli.seeds import fresh_seeds, tuning_seeds
from rnnprop_cli.spec.bench import AnyOf, BenchSpec, LaneRule, TuningSpec
from rnnprop_cli.spec.calibrated import CALIBRATED


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
        depth = optimizee.n_layers
        parts = [
            optimizee.dataset_label or "",
            optimizee.network,
            "" if depth is None else f"d{depth}",
            f"x{self.problem.horizon}",
        ]
        return f"{' '.join(part for part in parts if part)}/{self.optimizer.name}"

    @property
    def tuned(self) -> bool:
        """Whether its learning rate is searched."""
        return bool(self.optimizer.lr == "tuned")

    @property
    def default_rate(self) -> float | None:
        """The library's own learning rate; None for the alpha that a learned optimizer was trained with."""
        return self.optimizer.default_rate

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
    def search(self) -> TuningSpec:
        """The sizes of its search."""
        changed: dict[str, int | None] = {}
        for rule in self.spec.override:
            if matches(rule, self):
                changed |= {"seeds": rule.tuning_seeds} if rule.tuning_seeds else {}
                changed |= {"confirm_seeds": rule.confirm_seeds} if rule.confirm_seeds else {}
        return self.spec.tuning.model_copy(update=changed)

    @property
    def size(self) -> int:
        """Cells, if the search needs one round."""
        return lane_size(self.spec, self.optimizer, self.seeds, self.search)

    def first_round(self) -> Round | None:
        """The first round of the search; None where nothing is searched."""
        return first_round(self.search, self.optimizer.start_k) if self.tuned else None

    def search_batch(self, part: Round) -> CellBatch:
        """One round of the search, on seeds that the final runs never use."""
        rates = tuple(grid_rate(k) for k in part.ks)
        seeds = tuning_seeds(self.spec.seed, part.seeds)
        return CellBatch(self.problem, self.optimizer, rates, seeds, "tuning")

    def fresh_batches(self, tried: Tried[int]) -> list[CellBatch]:
        """The final runs at the best learning rate of the search, and for a searched one the untuned runs.

        Args:
            tried: what the search measured; empty where nothing was searched.
        """
        best = best_k(tried)
        fixed = self.default_rate if isinstance(self.optimizer.lr, str | None) else self.optimizer.lr
        batches = [self._fresh(fixed if best is None else grid_rate(best), "final")]
        if self.untuned:
            batches.append(self._fresh(self.default_rate, "default"))
        return batches

    def first_batches(self) -> list[CellBatch]:
        """What will run if the search needs one grid, and confirms as few rates as it may."""
        grid = self.first_round()
        if grid is None:
            return self.fresh_batches({})
        search = self.search
        rounds = [grid]
        if search.confirm_seeds:
            confirmed = range(search.seeds, search.seeds + search.confirm_seeds)
            rounds.append(Round(grid.ks[:LEAST_CONFIRMED], confirmed))
        return [self.search_batch(part) for part in rounds] + self.fresh_batches({})

    def _fresh(self, rate: float | None, phase: Phase) -> CellBatch:
        return CellBatch(
            self.problem, self.optimizer, (rate,), fresh_seeds(self.spec.seed, self.seeds), phase
        )


def lane_size(spec: BenchSpec, optimizer: OptimizerSpec, seeds: int, search: TuningSpec) -> int:
    """Cells of a lane whose search needs one grid and confirms as few rates as it may, by arithmetic alone."""
    if optimizer.lr != "tuned":
        return seeds
    final = seeds * (2 if has_untuned(spec, optimizer) else 1)
    return search.points * search.seeds + LEAST_CONFIRMED * (search.confirm_seeds or 0) + final


def has_untuned(spec: BenchSpec, optimizer: OptimizerSpec) -> bool:
    """Whether an optimizer is run at its default rate beside the one that the search finds."""
    return spec.untuned and optimizer.lr == "tuned" and optimizer.default_rate is not None


def matches(rule: LaneRule, lane: Lane) -> bool:
    """Whether a rule of the spec picks a lane. A setting that an optimizee does not have is never matched."""
    optimizee = lane.problem.optimizee
    settings = optimizee.model_dump(mode="json") | optimizee.model_dump(mode="json", context=IDENTITY)
    settings |= settings.get("settings", {})  # of code from outside
    if optimizee.dataset_name is not None:
        settings["dataset"] = short_name(optimizee.dataset_name)

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


def optimizers_of(spec: BenchSpec) -> tuple[OptimizerSpec, ...]:
    """The optimizers of the file, then the calibrated rivals, where they are wanted and not there by name."""
    names = {optimizer.name for optimizer in spec.optimizers}
    rivals = CALIBRATED if spec.calibrated else ()
    return (*spec.optimizers, *(rival for rival in rivals if rival.name not in names))


def select_lanes(spec: BenchSpec, only: str | None = None) -> Iterator[Lane]:
    """The lanes that `lanes` lists, one by one; maybe none."""
    optimizers = optimizers_of(spec)
    for problem in problems(spec):
        for optimizer in optimizers:
            lane = Lane(spec, problem, optimizer)
            if spec.include and not any(matches(rule, lane) for rule in spec.include):
                continue
            if any(matches(rule, lane) for rule in spec.exclude):
                continue
            if only is None or fnmatchcase(lane.label, only):
                yield lane
