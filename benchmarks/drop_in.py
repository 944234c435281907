"""A step of RNNprop through torch.optim's interface, against the fused step that it is made of.

The model's tensors have gradients already; only `step()` is measured. The fused step moves one flat vector of as many
coordinates. Beside them Mixture, torch.optim's Adam and AdamW, and the memory of the optimizers' states. The floor is
the network's arithmetic at the rate of a large matrix product.

    python benchmarks/drop_in.py --rounds 60
    python benchmarks/drop_in.py --model wide --rounds 5
"""

import argparse
import json
from collections.abc import Callable
from typing import cast

import torch
from measuring import Timings, add_isa, conditions, floor_flops, use_isa
from torch import nn
from torch.optim import Optimizer

from rnnprop_cli import Mixture, RNNprop
from rnnprop_cli.accelerate.optimizers import build_learned
from rnnprop_cli.components.learned.network import NetworkRule
from rnnprop_cli.components.optimizers.base import Given
from rnnprop_cli.kernels.select import select_kernel

F32 = torch.float32
ON_END = 5  # steps of a turn, whose mean counts


def model_of(name: str, device: torch.device) -> nn.Module:
    """A model whose every parameter has a gradient."""
    torch.manual_seed(0)
    layers: dict[str, Callable[[], nn.Module]] = {
        "mlp": lambda: nn.Sequential(nn.Linear(784, 20), nn.Sigmoid(), nn.Linear(20, 10)),
        "deep": lambda: nn.Sequential(*(nn.Linear(40, 40) for _ in range(40))),
        "wide": lambda: nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.Linear(512, 10)
        ),
        "square": lambda: nn.Linear(1024, 1024),
    }
    model = layers[name]().to(device)
    for param in model.parameters():
        param.grad = torch.randn_like(param)
    return model


def fused(optimizer: RNNprop, n: int, device: torch.device) -> Callable[[], object]:
    """The step of one flat vector."""
    kernel, _ = select_kernel("auto", device, F32)
    weights = optimizer.weights
    given = Given(torch.tensor([0.1], device=device), 1)
    learned = build_learned(weights.rule(), weights.meta_params(F32, device), given, kernel)
    params_CP, grads_CP = torch.randn(2, 1, n, device=device)
    state = learned.init(params_CP)

    def work() -> None:
        nonlocal state
        state = learned.advance(grads_CP, state, params_CP)

    return work


def state_bytes(optimizer: Optimizer) -> int:
    """Bytes of all tensors of the state."""
    kept = (value for state in optimizer.state.values() for value in state.values())
    return sum(value.nbytes for value in kept if isinstance(value, torch.Tensor))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", choices=("mlp", "deep", "wide", "square"), default="mlp")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    add_isa(parser)
    args = parser.parse_args()
    use_isa(args.isa, as_drop_in=True)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)

    ours = RNNprop(model_of(args.model, device).parameters(), weights="rnnprop")
    narrow = RNNprop(model_of(args.model, device).parameters(), weights="rnnprop", state_dtype=torch.bfloat16)
    adam = torch.optim.Adam(model_of(args.model, device).parameters())
    adamw = torch.optim.AdamW(model_of(args.model, device).parameters())
    mixture = Mixture(model_of(args.model, device).parameters(), total_steps=10**9)
    params = ours.param_groups[0]["params"]
    n = sum(param.numel() for param in params)
    timings = Timings(device)
    timings.add("fused step", fused(ours, n, device), ON_END)
    timings.add("RNNprop", ours.step, ON_END)
    timings.add("RNNprop, bfloat16 state", narrow.step, ON_END)
    timings.add("Mixture", mixture.step, ON_END)
    timings.add_matrix_product()
    timings.add("torch.optim.Adam", adam.step, ON_END)
    timings.add("torch.optim.AdamW", adamw.step, ON_END)
    timings.measure(args.rounds)

    optimizers = {
        "RNNprop": ours,
        "RNNprop, bfloat16 state": narrow,
        "Mixture": mixture,
        "torch.optim.Adam": adam,
        "torch.optim.AdamW": adamw,
    }
    network = cast(NetworkRule, ours.weights.rule()).network
    floor_s = floor_flops(network, n, 1) / 3 / timings.flops  # forward only
    result = {
        **conditions(device),
        "floor_s": floor_s,
        "ratio_to_floor": timings.best("RNNprop") / floor_s,
        "model": args.model,
        "tensors": len(params),
        "coordinates": n,
        "seconds": {name: timings.best(name) for name in timings.work},
        "mixture_over_adamw": timings.best("Mixture") / timings.best("torch.optim.AdamW"),
        "over_fused": timings.best("RNNprop") / timings.best("fused step") - 1,
        "bytes_per_coordinate": {name: state_bytes(each) / n for name, each in optimizers.items()},
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"{args.model}: {n:,} coordinates in {len(params)} tensors, {args.threads} threads")
    for name in (name for name in timings.work if name != "matrix product"):
        size = result["bytes_per_coordinate"].get(name)
        memory = "" if size is None else f"{size:8.1f} bytes of state a coordinate"
        print(f"{name:26}{1e3 * timings.best(name):9.3f} ms{memory}")
    print(f"floor {1e3 * floor_s:.2f} ms: RNNprop takes {result['ratio_to_floor']:.2f} of it")
    print(f"through torch.optim: {100 * result['over_fused']:+.1f} % of the fused step")
    print(f"Mixture takes {result['mixture_over_adamw']:.2f} times as long as AdamW")


if __name__ == "__main__":
    main()
