"""The specs that come with the package, with what each would cost here, before PyTorch is loaded."""

import time
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from rnnprop_cli.plan.cells import CellBatch
from rnnprop_cli.plan.cost import architecture_flops, evaluations, gradient_flops, optimizer_flops
from rnnprop_cli.plan.count import count_cells
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.runs.shipped_weights import shipped_architecture
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.horizons import longest
from rnnprop_cli.spec.load import resolve
from rnnprop_cli.spec.shipped import shipped_specs
from rnnprop_cli.spec.train import TrainSpec

SIZE: Final = 768  # of the matrices whose product is timed
SECONDS: Final = 0.1
BACKWARD: Final = 3  # a pass forward and two products backward, for each that goes forward


@dataclass(frozen=True)
class ShippedSpec:
    """One spec that comes with the package."""

    name: str
    kind: Literal["bench", "train"]
    description: str
    size: int  # cells, or meta-iterations
    flops: float


def list_shipped() -> list[ShippedSpec]:
    """All of them by name."""
    found = []
    for name, path in shipped_specs().items():
        spec = resolve(path).spec
        if isinstance(spec, BenchSpec):
            work = sum(_bench_flops(batch) for lane in lanes(spec) for batch in lane.first_batches())
            found.append(ShippedSpec(name, "bench", spec.description, count_cells(spec), work))
        else:
            work = _meta_iteration_flops(spec) * spec.meta_iterations
            found.append(ShippedSpec(name, "train", spec.description, spec.meta_iterations, work))
    return found


def work_rate() -> float:
    """Floating-point operations a second of a large matrix product here, which runs come near: docs/performance.md."""
    a = np.ones((SIZE, SIZE), dtype=np.float32)
    fastest, deadline = float("inf"), time.monotonic() + SECONDS
    while time.monotonic() < deadline or fastest == float("inf"):
        started = time.monotonic()
        a @ a
        fastest = min(fastest, time.monotonic() - started)
    return 2 * SIZE**3 / max(fastest, 1e-9)


def _bench_flops(batch: CellBatch) -> float:
    problem = batch.problem
    gradient = gradient_flops(problem.optimizee, problem.minibatch)
    per_cell = gradient * (problem.horizon + evaluations(batch) / BACKWARD)
    return len(batch) * per_cell + optimizer_flops(batch, shipped_architecture(batch.optimizer))


def _meta_iteration_flops(spec: TrainSpec) -> float:
    """Of the longest trajectory, averaged over the tasks; in an evolution of the candidates' on all draws."""
    evolution = spec.evolution
    cells = spec.meta_batch * (1 if evolution is None else evolution.draws * evolution.population)
    total = weight = 0.0
    for task in spec.tasks:
        per_coordinate = architecture_flops(spec.optimizer) * (BACKWARD if evolution is None else 1)
        learned = per_coordinate * task.optimizee.n_coordinates
        step = gradient_flops(task.optimizee, task.minibatch) + learned
        total += task.weight * longest(task.horizon, task.unroll) * step
        weight += task.weight
    return cells * total / weight
