"""How many cells a benchmark has, without making them."""

from math import inf
from typing import Final

from rnnprop_cli.errors import UsageError
from rnnprop_cli.plan.lanes import lane_size, optimizers_of, select_lanes
from rnnprop_cli.spec.bench import BenchSpec

MAX_CELLS: Final = 100_000  # unless --max-cells says otherwise
_LANES_PER_CELL: Final = 10  # that include and exclude may have to look at


def count_cells(spec: BenchSpec, only: str | None = None, max_cells: float = inf) -> int:
    """Cells of a benchmark if every search needs one grid and confirms as few rates as it may.

    Raises:
        UsageError: more than `max_cells`; or as `lanes`.
    """
    optimizers = optimizers_of(spec)
    n_lanes = len(spec.optimizees) * len(spec.horizon) * len(optimizers)
    if only is None and not (spec.include or spec.exclude or spec.override):
        problems = len(spec.optimizees) * len(spec.horizon)
        total = problems * sum(
            lane_size(spec, optimizer, spec.seeds, spec.tuning) for optimizer in optimizers
        )
        if total > max_cells:
            raise _too_many(spec, f"{total:,}", max_cells)
        return total
    if n_lanes > _LANES_PER_CELL * max_cells:
        raise _too_many(spec, f"{n_lanes:,} lanes to choose from, and so more", max_cells)
    total = 0
    for lane in select_lanes(spec, only):
        total += lane.size
        if total > max_cells:
            raise _too_many(spec, f"more than {max_cells:,.0f}", max_cells)
    return total


def _too_many(spec: BenchSpec, count: str, max_cells: float) -> UsageError:
    return UsageError(
        f"{spec.name} has {count} cells; --max-cells {max_cells:.0f} is the limit. Choose a part with --only, "
        "or raise the limit if this is meant."
    )
