"""Cells per hour of a benchmark matrix: our batched executor against a loop over torch.optim.

8 seeds x 14 learning rates of Adam on the base MLP for 100 steps. The loop takes one cell after the other with autograd
and torch.optim.Adam, its images gathered from memory as ours are. Compared are the steps alone, and the whole with the
final loss over the minibatches met and the held-out loss (which the loop computes without a graph).

    python benchmarks/matrix.py --rounds 3
    python benchmarks/matrix.py --optimizer momentum --json
"""

import argparse
import json
import time
from collections.abc import Callable

import torch
from measuring import Timings, add_isa, conditions, mnist, use_isa
from torch import Tensor
from torch.nn.functional import cross_entropy

from rnnprop_cli.data.datasets import Dataset
from rnnprop_cli.data.minibatches import ImageMinibatches
from rnnprop_cli.execute import bench
from rnnprop_cli.execute.bench import BatchDone, BatchJob, run_batch
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.numerics.layout import Layout
from rnnprop_cli.plan.cells import CellBatch, Problem
from rnnprop_cli.plan.tuning import grid_rate
from rnnprop_cli.spec.optimizees import MLPSpec
from rnnprop_cli.spec.optimizers import AdamSpec, ClassicalSpec, MomentumSpec, RMSpropSpec

OPTIMIZERS: dict[str, tuple[ClassicalSpec, Callable[[list[Tensor], float], torch.optim.Optimizer]]] = {
    "adam": (AdamSpec(), lambda params, lr: torch.optim.Adam(params, lr)),
    "momentum": (MomentumSpec(), lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9)),
    "rmsprop": (
        RMSpropSpec(decay=0.99, eps=1e-8, eps_inside_root=False, initial_mean_square=0.0),
        lambda params, lr: torch.optim.RMSprop(params, lr),
    ),
}
LAYOUT = Layout([(784, 20), (20,), (20, 10), (10,)], [784, 784, 20, 20])


class BatchedMatrix:
    """The whole matrix by `run_batch`; remembers when the steps were done."""

    def __init__(
        self, spec: ClassicalSpec, seeds: int, rates: int, steps: int, engine: Engine, dataset: Dataset
    ) -> None:
        learning_rates = tuple(grid_rate(k) for k in range(4, 4 + rates))
        problem = Problem(MLPSpec(), steps, 128, "float32")
        batch = CellBatch(problem, spec, learning_rates, tuple(range(seeds)), "tuning")
        self.job = BatchJob(batch, tuple(str(cell) for cell in range(len(batch))), None, engine, 1000)
        bench._dataset = lambda name, data_dir: dataset  # type: ignore[assignment]
        self.cells = len(batch)
        self.steps_s: list[float] = []

    def __call__(self) -> None:
        start = time.perf_counter()
        steps_done = start
        for event in run_batch(self.job):
            if not isinstance(event, BatchDone):
                steps_done = time.perf_counter()
        self.steps_s.append(steps_done - start)


class LoopedCells:
    """A few cells, one after the other, as one writes it in PyTorch."""

    def __init__(
        self,
        make: Callable[[list[Tensor], float], torch.optim.Optimizer],
        cells: int,
        steps: int,
        dataset: Dataset,
        device: torch.device,
    ) -> None:
        self.make, self.cells, self.steps, self.dataset, self.device = make, cells, steps, dataset, device
        self.steps_s: list[float] = []

    def __call__(self) -> None:
        self.steps_s.append(0.0)
        for seed in range(self.cells):
            self._cell(seed)

    def _cell(self, seed: int) -> None:
        data = ImageMinibatches(self.dataset, [seed], 128, self.device, torch.float32)
        theta = LAYOUT.init_params([seed], "paper", torch.float32, self.device)
        params = [part[0].clone().requires_grad_() for part in LAYOUT.split(theta)]
        optimizer = self.make(params, 1e-3)
        start = time.perf_counter()
        for step in range(self.steps):
            optimizer.zero_grad()
            self._loss(params, data, step).backward()
            optimizer.step()
        self.steps_s[-1] += time.perf_counter() - start
        with torch.no_grad():
            float(sum(self._loss(params, data, step) for step in range(self.steps)))
            test = data.heldout()
            assert test is not None
            logits = forward(params, test.inputs_SMD[0])
            float(cross_entropy(logits, test.targets_SM[0]))

    def _loss(self, params: list[Tensor], data: ImageMinibatches, step: int) -> Tensor:
        minibatch = data.at(step)
        return cross_entropy(forward(params, minibatch.inputs_SMD[0]), minibatch.targets_SM[0])


def forward(params: list[Tensor], x: Tensor) -> Tensor:
    """Logits of the base MLP."""
    weight_0, bias_0, weight_1, bias_1 = params
    return torch.addmm(bias_1, torch.sigmoid(torch.addmm(bias_0, x, weight_0)), weight_1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rates", type=int, default=14)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--loop-cells", type=int, default=4, help="cells of the loop that are timed a round")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    parser.add_argument("--kernel", choices=("auto", "reference", "cpu", "cuda"), default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--synthetic", action="store_true", help="do not look for MNIST")
    parser.add_argument("--json", action="store_true")
    add_isa(parser)
    args = parser.parse_args()
    use_isa(args.isa)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    dataset = mnist(args.synthetic)
    spec, make = OPTIMIZERS[args.optimizer]

    engine = Engine(args.device, args.threads, None, args.kernel)
    batched = BatchedMatrix(spec, args.seeds, args.rates, args.steps, engine, dataset)
    looped = LoopedCells(make, args.loop_cells, args.steps, dataset, device)
    timings = Timings(device)
    timings.add("batched", batched)
    timings.add("loop", looped)
    timings.measure(args.rounds)

    # the first of each was the warming up
    steps_s = {
        "batched": min(batched.steps_s[1:]) / batched.cells,
        "loop": min(looped.steps_s[1:]) / looped.cells,
    }
    whole_s = {
        "batched": timings.best("batched") / batched.cells,
        "loop": timings.best("loop") / looped.cells,
    }
    result = {
        **conditions(device),
        "data": dataset.note,
        "optimizer": args.optimizer,
        "cells": batched.cells,
        "us_per_cell_and_step": {name: 1e6 * s / args.steps for name, s in steps_s.items()},
        "cells_per_hour": {name: 3600 / s for name, s in whole_s.items()},
        "speedup_vs_loop": steps_s["loop"] / steps_s["batched"],
        "speedup_vs_loop_whole": whole_s["loop"] / whole_s["batched"],
    }
    if args.json:
        print(json.dumps(result))
        return
    print(
        f"{batched.cells} cells of {args.steps} steps with {args.optimizer}, {args.threads} threads, {dataset.note}"
    )
    print(f"{'':10}{'us a cell and step':>20}{'cells an hour, whole':>22}")
    for name in whole_s:
        rate = result["cells_per_hour"][name]
        print(f"{name:10}{result['us_per_cell_and_step'][name]:20.1f}{rate:22,.0f}")
    print(
        f"steps {result['speedup_vs_loop']:.1f} times as fast, whole {result['speedup_vs_loop_whole']:.1f} times"
    )


if __name__ == "__main__":
    main()
