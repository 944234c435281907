"""A step of a cell in a benchmark matrix, of every kind of optimizee: our batches against a loop over torch.optim.

8 seeds x 14 learning rates. The loop takes one cell after the other with torch.nn, autograd and torch.optim, its data
drawn as ours are. Compared are the steps alone. The floor is the arithmetic of the products (each weight once forward
and twice backward) at the rate of the library's large matrix product in the same run.

    python benchmarks/matrix.py
    python benchmarks/matrix.py --only mlp lstm --rounds 5 --optimizer momentum --json
"""

import argparse
import json
from typing import Any

import torch
from matrix_work import MINIBATCH, BatchedMatrix, LoopedCells, MakeOptimizer
from measuring import Timings, add_isa, conditions, images, use_isa

from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.components.optimizees.conv import ConvSpec
from rnnprop_cli.components.optimizees.lstm import LSTMSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.quadratic import QuadraticSpec
from rnnprop_cli.components.optimizers.adam import AdamSpec
from rnnprop_cli.components.optimizers.base import BaselineSpec
from rnnprop_cli.components.optimizers.momentum import MomentumSpec
from rnnprop_cli.components.optimizers.rmsprop import RMSpropSpec
from rnnprop_cli.execute.device import Engine

OPTIMIZERS: dict[str, tuple[BaselineSpec, MakeOptimizer]] = {
    "adam": (AdamSpec(), lambda params, lr: torch.optim.Adam(params, lr)),
    "momentum": (MomentumSpec(), lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9)),
    "rmsprop": (
        RMSpropSpec(decay=0.99, eps=1e-8, eps_inside_root=False, initial_mean_square=0.0),
        lambda params, lr: torch.optim.RMSprop(params, lr),
    ),
}
DEEP = "c-c-p-c-c-p-f-f"
# What is measured, and how many steps of it a round takes: all kinds together about two minutes on two cores.
KINDS: dict[str, tuple[OptimizeeSpec, int]] = {
    "mlp": (MLPSpec(), 100),
    "mlp, 5 layers": (MLPSpec(depth=5), 50),
    "conv c-c-p-f, mnist": (ConvSpec(), 4),
    f"conv {DEEP}, mnist": (ConvSpec(layout=DEEP), 2),
    "conv c-c-p-f, cifar10": (ConvSpec(dataset="cifar10"), 2),
    f"conv {DEEP}, cifar10": (ConvSpec(layout=DEEP, dataset="cifar10"), 2),
    "lstm": (LSTMSpec(), 50),
    "lstm, 2 layers": (LSTMSpec(layers=2), 20),
    "quadratic": (QuadraticSpec(), 100),
}
LOOP_STEPS = 10  # at least; a loop's single steps are short


def floor_s(spec: OptimizeeSpec, flops: float) -> float:
    """Seconds that the products of a cell and step take at a rate."""
    examples = 1 if isinstance(spec, QuadraticSpec) else MINIBATCH
    return 2 * 3 * examples * spec.multiplications / flops


def measure(
    kind: str, args: argparse.Namespace, engine: Engine, datasets: dict[str, Dataset]
) -> dict[str, Any]:
    """Times of one kind, its loop, batch and the matrix product in turns."""
    optimizee, steps = KINDS[kind]
    steps = args.steps or steps
    spec, make = OPTIMIZERS[args.optimizer]
    name = optimizee.dataset_name
    dataset = None if name is None else datasets.setdefault(name, images(name, args.synthetic))
    batched = BatchedMatrix(optimizee, spec, args.seeds, args.rates, steps, engine, dataset)
    loop_steps = args.steps or max(steps, LOOP_STEPS)
    looped = LoopedCells(optimizee, make, args.loop_cells, loop_steps, dataset, engine.torch_device)
    timings = Timings(engine.torch_device)
    timings.add_matrix_product()
    timings.add("batched", batched)
    timings.add("loop", looped)
    timings.measure(args.rounds)
    # the first of each was the warming up
    seconds = {
        "loop": min(looped.steps_s[1:]) / looped.cells / loop_steps,
        "batched": min(batched.steps_s[1:]) / batched.cells / steps,
    }
    return {
        "kind": kind,
        "data": "none" if dataset is None else dataset.note,
        "cells": batched.cells,
        "us_per_cell_and_step": {who: 1e6 * s for who, s in seconds.items()},
        "speedup_vs_loop": seconds["loop"] / seconds["batched"],
        "ratio_to_floor": seconds["batched"] / floor_s(optimizee, timings.flops),
        "gflops": timings.flops / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="KIND", help="kinds whose names start so, e.g. mlp conv")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rates", type=int, default=14)
    parser.add_argument("--steps", type=int, default=0, help="steps a round of every kind (0: by its size)")
    parser.add_argument("--loop-cells", type=int, default=2, help="cells of the loop that are timed a round")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    parser.add_argument("--kernel", choices=("auto", "reference", "cpu", "cuda"), default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--synthetic", action="store_true", help="do not look for MNIST and CIFAR-10")
    parser.add_argument("--json", action="store_true")
    add_isa(parser)
    args = parser.parse_args()
    use_isa(args.isa)
    torch.set_num_threads(args.threads)
    engine = Engine(args.device, args.threads, None, args.kernel)
    kinds = [kind for kind in KINDS if not args.only or kind.startswith(tuple(args.only))]
    if not kinds:
        parser.error(f"no kind starts with {' or '.join(args.only)}; kinds: {'; '.join(KINDS)}")

    about = conditions(engine.torch_device)
    if not args.json:
        print(
            f"{args.seeds} seeds x {args.rates} rates of {args.optimizer}, {args.threads} threads, "
            f"{about['cpu_capability']}, load {about['load_average']}"
        )
        print(
            f"{'us a cell and step':34}{'loop':>10}{'batched':>10}{'times as fast':>15}{'of the floor':>14}"
        )
    datasets: dict[str, Dataset] = {}
    rows = []
    for kind in kinds:
        row = measure(kind, args, engine, datasets)
        rows.append(row)
        if not args.json:
            loop, batched = (row["us_per_cell_and_step"][who] for who in ("loop", "batched"))
            print(
                f"{kind:34}{loop:10.1f}{batched:10.1f}{row['speedup_vs_loop']:15.1f}{row['ratio_to_floor']:14.2f}",
                flush=True,
            )
    if args.json:
        print(json.dumps({**about, "optimizer": args.optimizer, "kinds": rows}))


if __name__ == "__main__":
    main()
