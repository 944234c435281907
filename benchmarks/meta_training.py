"""Seconds per meta-iteration of the base MLP, for every body of the kernel interface.

A meta-iteration is the paper's: 5 windows of 20 inner steps on a fresh base MLP (15,910 coordinates) with Random
Scaling and a convex function (20 coordinates). The floor is its arithmetic (each weight of the network once forward
and twice backward) at the rate of a large matrix product, measured in the same run. The eager reference is the same
meta-iteration in plain PyTorch: two LSTM cells and autograd. Exact savings are allowed, so ratios under 1 are possible.

    python benchmarks/meta_training.py --rounds 10
    python benchmarks/meta_training.py --bodies cpu eager --json
"""

import argparse
import json
import statistics
from collections.abc import Callable

import torch
from measuring import (
    EagerFeatures,
    EagerNetwork,
    Timings,
    add_isa,
    conditions,
    floor_flops,
    fresh_peak_bytes,
    mnist,
    print_peak,
    use_isa,
)

from rnnprop_cli.accelerate.optimizees import accelerated, build_optimizee
from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.quadratic import Quadratic
from rnnprop_cli.components.optimizees.transforms import Combined, RandomScaling
from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.passes import FusedPasses
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.meta.draws import draw as schedule
from rnnprop_cli.meta.meta_step import MetaState, build_meta_optimizer, meta_iteration
from rnnprop_cli.meta.truncation import spans
from rnnprop_cli.spec.train import ConvexSpec, TrainSpec

F32 = torch.float32
EAGER = "eager"
BASE_MLP = MLPSpec()
SPEC = TrainSpec(name="speed", optimizer=RNNpropSpec(), random_scaling=3.0, convex=ConvexSpec())


def draw(
    dataset: Dataset,
    number: int,
    device: torch.device,
    passes: FusedPasses | None,
    tasks: int = 1,
    mlp: MLPSpec = BASE_MLP,
) -> Optimizee:
    """The optimizee of one meta-iteration."""
    seeds = [number * tasks + task for task in range(tasks)]
    f = build_optimizee(mlp, dataset, seeds, SPEC.minibatch, F32, device, passes)
    scaled = RandomScaling(f, 3.0, seeds, "f")
    g: Optimizee = Quadratic(20, seeds, F32, device)
    if passes is not None:
        g = accelerated(g, passes)
    return Combined(scaled, RandomScaling(g, 1.0, seeds, "g"))


def body_work(
    name: str, dataset: Dataset, device: torch.device, tasks: int = 1, spec: TrainSpec = SPEC
) -> Callable[[], object]:
    """One meta-iteration by a body of ours; each call goes on from the last."""
    kernel, _ = select_kernel(name, device, F32)  # type: ignore[arg-type]
    rule = spec.optimizer.build()
    meta_params_Q = rule.start(0, F32, device)
    optimizer = build_meta_optimizer(spec.meta_optimizer, meta_params_Q).init(meta_params_Q[None])
    state = MetaState(meta_params_Q, optimizer)
    number = 0

    def work() -> None:
        nonlocal state, number
        optimizee = draw(dataset, number, device, kernel.passes, tasks)
        state, _ = meta_iteration(spec, state, optimizee, rule, kernel, schedule(spec, 0))
        number += 1

    return work


def eager_work(
    dataset: Dataset, device: torch.device, spec: TrainSpec = SPEC, mlp: MLPSpec = BASE_MLP
) -> Callable[[], object]:
    """One meta-iteration as one writes it in PyTorch."""
    network = EagerNetwork().to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=spec.meta_optimizer.lr)
    cut = schedule(spec, 0)
    number = 0

    def work() -> None:
        nonlocal number
        optimizee = draw(dataset, number, device, None, 1, mlp)
        number += 1
        theta = optimizee.init_params()
        features, state = EagerFeatures(theta.numel(), device), network.zero_state(theta.numel(), device)
        for first, unroll in spans(cut.horizon, cut.unroll):
            for t in range(unroll):
                step = first + t
                leaf = theta.detach().requires_grad_()
                (grad,) = torch.autograd.grad(optimizee.loss(leaf, step).sum(), leaf)
                if t == unroll - 1:
                    loss = optimizee.loss(theta, step).sum()
                moves, state = network(features(grad.flatten()), state)
                theta = theta - spec.optimizer.alpha * moves.view_as(theta)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            theta, state = theta.detach(), [(h.detach(), c.detach()) for h, c in state]

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--bodies", nargs="+", help="of cpu, cuda, reference, eager; default: all of the device"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--synthetic", action="store_true", help="do not look for MNIST")
    parser.add_argument(
        "--no-memory", action="store_true", help="do not measure peak memory (one process a body)"
    )
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    add_isa(parser)
    args = parser.parse_args()
    use_isa(args.isa)
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    device = torch.device(args.device)
    dataset = mnist(args.synthetic)

    def make(name: str) -> Callable[[], object]:
        return eager_work(dataset, device) if name == EAGER else body_work(name, dataset, device)

    if args.peak_of:
        print_peak(device, make(args.peak_of))
        return
    timings = Timings(device)
    timings.add_matrix_product()
    for name in args.bodies or (device.type, "reference", EAGER):
        try:
            timings.add(name, make(name))
        except DeviceError as error:
            print(error)
    timings.measure(args.rounds)

    bodies = [name for name in timings.work if name != "matrix product"]
    coordinates = draw(dataset, 0, device, None).n_coordinates
    floor_s = floor_flops(SPEC.optimizer.build().network, coordinates, 100) / timings.flops
    options = [
        *(["--synthetic"] if args.synthetic else []),
        "--device",
        args.device,
        "--threads",
        str(args.threads),
    ]
    result = {
        **conditions(device),
        "data": dataset.note,
        "rounds": args.rounds,
        "gflops": timings.flops / 1e9,
        "floor_s": floor_s,
        "seconds": {name: timings.best(name) for name in bodies},
        "median_seconds": {name: statistics.median(timings.seconds[name]) for name in bodies},
        "ratio_to_floor": {name: timings.best(name) / floor_s for name in bodies},
        "speedup_vs_reference": {
            name: timings.best(EAGER) / timings.best(name) for name in bodies if EAGER in bodies
        },
        "peak_bytes": {
            name: fresh_peak_bytes(__file__, "--peak-of", name, *options)
            for name in bodies
            if not args.no_memory
        },
    }
    if args.json:
        print(json.dumps(result))
        return
    print(
        f"floor {floor_s:.3f} s at {timings.flops / 1e9:.0f} GFLOP/s, {args.threads} threads, {dataset.note}"
    )
    print(f"{'':12}{'best s':>9}{'median s':>10}{'of floor':>10}{'vs eager':>10}{'peak MB':>9}")
    for name in bodies:
        speedup = result["speedup_vs_reference"].get(name, float("nan"))
        peak = result["peak_bytes"].get(name, float("nan")) / 2**20
        print(
            f"{name:12}{timings.best(name):9.3f}{result['median_seconds'][name]:10.3f}"
            f"{result['ratio_to_floor'][name]:10.2f}{speedup:10.2f}{peak:9.0f}"
        )


if __name__ == "__main__":
    main()
