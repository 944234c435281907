"""From a bench spec to the cells that will run.

A *cell* is one (optimizer with its learning rate, optimizee, seed). Cells that differ only in learning rate and seed
run together as a `CellBatch`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.components.optimizers.base import OptimizerSpec
from rnnprop_cli.components.plugins import IDENTITY
from rnnprop_cli.fields import Sampling
from rnnprop_cli.plan.identity import content_hash
from rnnprop_cli.plan.size import bytes_per_cell
from rnnprop_cli.records import Phase
from rnnprop_cli.spec.bench import BenchSpec

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """What is optimised, and for how long."""

    optimizee: OptimizeeSpec
    horizon: int
    minibatch: int
    dtype: str
    sampling: Sampling = "epochs"


@dataclass(frozen=True)
class Cell:
    """One trajectory."""

    problem: Problem
    optimizer: OptimizerSpec
    lr: float | None  # None: the learned optimizer's own alpha
    seed: int  # fixes theta_0 and every minibatch
    phase: Phase


@dataclass(frozen=True)
class CellBatch:
    """Cells that run together: every seed with every learning rate. A plain picklable value."""

    problem: Problem
    optimizer: OptimizerSpec
    learning_rates: tuple[float | None, ...]
    seeds: tuple[int, ...]
    phase: Phase

    def cells(self) -> list[Cell]:
        """Seed by seed, so that the cells which share minibatches are neighbours."""
        return [
            Cell(self.problem, self.optimizer, lr, seed, self.phase)
            for seed in self.seeds
            for lr in self.learning_rates
        ]

    def __len__(self) -> int:
        return len(self.seeds) * len(self.learning_rates)


def problems(spec: BenchSpec) -> list[Problem]:
    """Every optimizee with every horizon, in the order of the file."""
    return [
        Problem(optimizee, horizon, spec.minibatch, spec.dtype, spec.sampling)
        for optimizee in spec.optimizees
        for horizon in spec.horizon
    ]


def cell_config(cell: Cell, environment: Mapping[str, str | int | float | None]) -> dict[str, object]:
    """Everything that a cell's numbers depend on.

    Args:
        cell: what is run.
        environment: facts of the machine and of the data, from the caller: plan never looks at either.
    """
    return {
        "optimizee": cell.problem.optimizee.model_dump(mode="json", context=IDENTITY),
        "horizon": cell.problem.horizon,
        "minibatch": cell.problem.minibatch,
        "sampling": cell.problem.sampling if cell.problem.optimizee.dataset_name else None,
        "dtype": cell.problem.dtype,
        "optimizer": cell.optimizer.model_dump(mode="json", exclude={"lr", "label"}, context=IDENTITY),
        "lr": cell.lr,
        "seed": cell.seed,
        "phase": cell.phase,
        "environment": environment,
    }


def cell_key(config: dict[str, object]) -> str:
    """The content hash of a cell's configuration."""
    return content_hash(config)


def split(batch: CellBatch, memory_mb: int) -> Iterator[CellBatch]:
    """The batch in parts that stay under the memory budget; first by seeds, which share nothing.

    The split depends on the spec alone, so that resuming never changes which cells run together.
    """
    per_cell = bytes_per_cell(
        batch.problem.optimizee, batch.optimizer, batch.problem.minibatch, batch.problem.dtype
    )
    fitting = max(1, memory_mb * 2**20 // per_cell)
    n_rates = len(batch.learning_rates)
    rates_per_part = min(n_rates, fitting)
    seeds_per_part = max(1, fitting // n_rates)
    for seeds in _chunks(batch.seeds, seeds_per_part):
        for rates in _chunks(batch.learning_rates, rates_per_part):
            yield replace(batch, seeds=seeds, learning_rates=rates)


def _chunks(items: tuple[T, ...], size: int) -> Iterator[tuple[T, ...]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
