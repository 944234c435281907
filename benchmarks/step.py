"""One inner step of RNNprop on the base MLP, with the MLP's gradient and the gather of its minibatch.

Compared with the same step in eager PyTorch (two LSTM cells, autograd for the MLP) and with torch.optim.Adam. The
floor is the network's arithmetic at the rate of a large matrix product. In its turn everybody takes 20 steps on end, as
in use: a single step between those of others would find its state out of the cache and its threads asleep.

    python benchmarks/step.py --rounds 20
"""

import argparse
import json
from collections.abc import Callable

import torch
from measuring import EagerFeatures, EagerNetwork, Timings, add_isa, conditions, floor_flops, mnist, use_isa
from torch.nn.functional import cross_entropy

from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.accelerate.optimizers import build_learned
from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.minibatches import ImageMinibatches
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.base import Given
from rnnprop_cli.kernels.select import select_kernel

F32 = torch.float32
STEPS = 100  # after which a trajectory starts anew
ON_END = 20  # steps of a turn


def ours(kernel_name: str, dataset: Dataset, device: torch.device) -> Callable[[], object]:
    """Gradient and step by a body of ours."""
    kernel, _ = select_kernel(kernel_name, device, F32)  # type: ignore[arg-type]
    optimizee = build_optimizee(MLPSpec(), dataset, [0], 128, F32, device, kernel.passes)
    spec = RNNpropSpec()
    meta_params_Q = spec.build().start(0, F32, device)
    optimizer = build_learned(
        spec.build(), meta_params_Q, Given(torch.tensor([0.1], device=device), 100), kernel
    )
    params_CP = optimizee.init_params()
    state = optimizer.init(params_CP)
    step = 0

    def work() -> None:
        nonlocal state, step
        if step == STEPS:
            step = 0
            params_CP.copy_(optimizee.init_params())
            state = optimizer.init(params_CP)
        _, grads_CP = optimizee.loss_and_grad(params_CP, step)
        state = optimizer.advance(grads_CP, state, params_CP)
        step += 1

    return work


class EagerMLP:
    """The base MLP in plain PyTorch."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(
            torch.nn.Linear(784, 20), torch.nn.Sigmoid(), torch.nn.Linear(20, 10)
        ).to(device)
        self.data = ImageMinibatches(dataset, [0], 128, device, F32)
        self.step = 0

    def backward(self) -> None:
        """Gather, loss and gradient."""
        minibatch = self.data.at(self.step % STEPS)
        self.step += 1
        self.net.zero_grad()
        cross_entropy(self.net(minibatch.inputs_SMD[0]), minibatch.targets_SM[0]).backward()


def eager(dataset: Dataset, device: torch.device) -> Callable[[], object]:
    """RNNprop's step in plain PyTorch."""
    mlp, network = EagerMLP(dataset, device), EagerNetwork().to(device)
    params = list(mlp.net.parameters())
    n = sum(p.numel() for p in params)
    features, state = EagerFeatures(n, device), network.zero_state(n, device)

    def work() -> None:
        nonlocal state
        mlp.backward()
        with torch.no_grad():
            moves, state = network(features(torch.cat([p.grad.flatten() for p in params])), state)
            for p, move in zip(params, torch.split(moves, [p.numel() for p in params]), strict=True):
                p.sub_(0.1 * move.view_as(p))

    return work


def adam(dataset: Dataset, device: torch.device) -> Callable[[], object]:
    """torch.optim.Adam on the same MLP."""
    mlp = EagerMLP(dataset, device)
    optimizer = torch.optim.Adam(mlp.net.parameters())

    def work() -> None:
        mlp.backward()
        optimizer.step()

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
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

    timings = Timings(device)
    timings.add_matrix_product()
    timings.add("ours", ours("auto", dataset, device), ON_END)
    timings.add("reference body", ours("reference", dataset, device), ON_END)
    timings.add("eager", eager(dataset, device), ON_END)
    timings.add("torch.optim.Adam", adam(dataset, device), ON_END)
    timings.measure(args.rounds)

    names = [name for name in timings.work if name != "matrix product"]
    coordinates = 15_910
    network = RNNpropSpec().build().network
    floor_s = floor_flops(network, coordinates, 1) / 3 / timings.flops  # forward only
    result = {
        **conditions(device),
        "data": dataset.note,
        "floor_s": floor_s,
        "seconds": {name: timings.best(name) for name in names},
        "ns_per_coordinate": {name: 1e9 * timings.best(name) / coordinates for name in names},
        "ratio_to_floor": timings.best("ours") / floor_s,
        "speedup_vs_eager": timings.best("eager") / timings.best("ours"),
        "times_adam": timings.best("ours") / timings.best("torch.optim.Adam"),
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"{args.threads} threads, floor {1e3 * floor_s:.2f} ms, {dataset.note}")
    for name in names:
        print(
            f"{name:18}{1e3 * timings.best(name):8.3f} ms{result['ns_per_coordinate'][name]:8.1f} ns a coordinate"
        )
    print(
        f"ours: {result['ratio_to_floor']:.2f} of the floor, {result['speedup_vs_eager']:.1f} times as fast as eager, "
        f"{result['times_adam']:.1f} times torch.optim.Adam"
    )


if __name__ == "__main__":
    main()
