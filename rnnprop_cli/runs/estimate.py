"""What a benchmark will run, how long that takes and how much memory, before anything runs."""

from dataclasses import dataclass

from rnnprop_cli.execute.calibrate import product_rate
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.plan.cells import split
from rnnprop_cli.plan.cost import batch_flops
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.plan.size import bytes_per_cell
from rnnprop_cli.spec.bench import BenchSpec


@dataclass(frozen=True)
class LaneEstimate:
    """One optimizer on one problem, if its search needs one round."""

    lane: str
    cells: int
    batches: int
    seconds: float
    peak_mb: float


def estimate_bench(spec: BenchSpec, engine: Engine, only: str | None = None) -> list[LaneEstimate]:
    """Every lane of a benchmark with its cost. Times are rough: right within a factor of about three."""
    rate = product_rate(engine, spec.dtype)
    rows = []
    for lane in lanes(spec, only):
        batches = [part for batch in lane.first_batches() for part in split(batch, spec.memory_mb)]
        problem = lane.problem
        per_cell = bytes_per_cell(problem.optimizee, lane.optimizer, problem.minibatch, problem.dtype)
        rows.append(
            LaneEstimate(
                lane.label,
                cells=sum(map(len, batches)),
                batches=len(batches),
                seconds=sum(sum(batch_flops(batch)) for batch in batches) / rate,
                peak_mb=max(map(len, batches)) * per_cell / 2**20,
            )
        )
    return rows
