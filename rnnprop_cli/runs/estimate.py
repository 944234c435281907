"""What a benchmark will run, how long that takes and how much memory, before anything runs."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import log
from typing import Final

from rnnprop_cli.execute.calibrate import StepSeconds, product_rate, step_seconds
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.plan.cells import CellBatch, Problem, split
from rnnprop_cli.plan.cost import evaluations, gradient_flops, optimizer_flops
from rnnprop_cli.plan.lanes import Lane, lanes
from rnnprop_cli.plan.size import bytes_per_cell
from rnnprop_cli.runs.already import Kept
from rnnprop_cli.runs.shipped_weights import shipped_architecture
from rnnprop_cli.spec.bench import BenchSpec

MEASURING_S: Final = 3.0  # no more optimizees are timed after so long, but for one of each kind


@dataclass(frozen=True)
class LaneEstimate:
    """One optimizer on one problem, if its search needs one round."""

    lane: str
    cells: int
    batches: int
    seconds: float  # of what is not there
    peak_mb: float
    kept: int = 0  # cells that the database holds


def estimate_bench(
    spec: BenchSpec, engine: Engine, only: str | None = None, kept: Mapping[str, Kept] | None = None
) -> list[LaneEstimate]:
    """Every lane of a benchmark with its cost, less what is `kept` of it.

    The optimizees that make most of the work are timed here, the others scaled from the most similar one of these.
    Times of the optimizee are right within a factor of about 1.5 on a quiet machine, those of the optimizer of three.
    """
    rate = product_rate(engine, spec.dtype)
    planned = [
        (lane, [part for batch in lane.first_batches() for part in split(batch, spec.memory_mb)])
        for lane in lanes(spec, only)
    ]
    there = kept or {}
    left = [(lane, batches) for lane, batches in planned if not _of(there, lane).complete]
    clock = _Clock([batch for _, batches in left for batch in batches], engine)
    rows = []
    for lane, batches in planned:
        problem = lane.problem
        architecture = shipped_architecture(lane.optimizer)
        per_cell = bytes_per_cell(problem.optimizee, lane.optimizer, problem.minibatch, problem.dtype)
        found, cells = _of(there, lane), sum(map(len, batches))
        if found.complete:
            rows.append(LaneEstimate(lane.label, found.cells, 0, 0.0, 0.0, found.cells))
            continue
        cells = max(cells, found.cells + 1)  # a search may have gone further than the plan
        seconds = sum(clock.seconds(batch) + optimizer_flops(batch, architecture) / rate for batch in batches)
        rows.append(
            LaneEstimate(
                lane.label,
                cells=cells,
                batches=len(batches),
                seconds=seconds * (1 - found.cells / cells),
                peak_mb=max(map(len, batches)) * per_cell / 2**20,
                kept=found.cells,
            )
        )
    return rows


def _of(kept: Mapping[str, Kept], lane: Lane) -> Kept:
    return kept.get(lane.label, Kept(0, complete=False))


class _Clock:
    """Seconds that the optimizees of a benchmark take."""

    def __init__(self, batches: Iterable[CellBatch], engine: Engine) -> None:
        work: dict[Problem, float] = {}
        for batch in batches:
            problem = replace(batch.problem, horizon=1)
            work[problem] = work.get(problem, 0.0) + _flops(problem) * len(batch) * batch.problem.horizon
        self._timed: dict[Problem, StepSeconds] = {}
        deadline = time.monotonic() + MEASURING_S
        for problem in sorted(work, key=lambda problem: -work[problem]):
            if time.monotonic() < deadline or not self._alike(problem):
                self._timed[problem] = step_seconds(
                    problem.optimizee, problem.minibatch, problem.dtype, engine
                )

    def seconds(self, batch: CellBatch) -> float:
        """Of all gradients and losses of a batch."""
        problem = replace(batch.problem, horizon=1)
        flops = _flops(problem)
        nearest = min(self._alike(problem), key=lambda other: abs(log(_flops(other) / flops)))
        step = self._timed[nearest]
        cell = batch.problem.horizon * step.gradient + evaluations(batch) * step.loss
        return len(batch) * cell * flops / _flops(nearest)

    def _alike(self, problem: Problem) -> list[Problem]:
        """Those timed of the same kind."""
        return [timed for timed in self._timed if timed.optimizee.kind == problem.optimizee.kind]


def _flops(problem: Problem) -> float:
    return gradient_flops(problem.optimizee, problem.minibatch)
