"""Times the bodies of the kernel interface against the machine's floor.

A meta-iteration on the base MLP is 5 windows of 20 forward steps and one window gradient on 15,930 coordinates.
Its floor is its arithmetic (forward once, twice that backward) at the rate of a large matrix product.
Everything is measured in turns within one run, because shared machines change from minute to minute:
compare the minima of one run, never numbers of two runs.
The product is the library's, not the processor's best: where the library leaves much of the arithmetic unused
(MKL on AMD processors with AVX-512 reaches under half of it), ratios under 1 are possible.

    python benchmarks/kernels.py --rounds 20
    python benchmarks/kernels.py --device cuda --json
"""

import argparse
import json
import statistics

import torch
from measuring import MATRIX_SIZE, Timings, add_isa, floor_flops, use_isa

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.kernels.select import select_kernel

COORDINATES = 15_910 + 20  # the base MLP and the auxiliary coordinates of convex tricks
STEPS = 20
WINDOWS = 5
# Input weights of blank pixels: 784 x 20 of the coordinates are input weights, a third of the pixels are blank.
ZERO_SHARE = 784 * 20 / 3 / COORDINATES


def blank_rows(steps: int, generator: torch.Generator) -> torch.Tensor:
    """Output gradients [T, N] of which whole pixels (20 neighbouring coordinates) are zero at every step."""
    grad = torch.randn(steps, COORDINATES, generator=generator)
    for pixel in range(784):
        if torch.rand((), generator=generator) < 1 / 3:
            grad[:, 20 * pixel : 20 * pixel + 20] = 0
    return grad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--reference", action="store_true", help="also time the reference (slow)")
    parser.add_argument("--json", action="store_true")
    add_isa(parser)
    args = parser.parse_args()
    use_isa(args.isa)
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    device = torch.device(args.device)

    bodies: list[Kernel] = [ReferenceKernel()] if args.reference else []
    try:
        bodies.append(select_kernel("cuda" if device.type == "cuda" else "cpu", device, torch.float32)[0])
    except DeviceError as error:
        print(error)

    network = Network()
    generator = torch.Generator().manual_seed(0)
    meta_params = (0.2 * torch.randn(network.n_meta_params, generator=generator)).to(device)
    features = (0.5 * torch.randn(STEPS, network.features, COORDINATES, generator=generator)).to(device)
    dense = torch.randn(STEPS, COORDINATES, generator=generator).to(device)
    sparse = blank_rows(STEPS, generator).to(device)
    start = network.zero_hidden(COORDINATES, torch.float32, device)

    timings = Timings(device)
    timings.add_matrix_product()
    for body in bodies:
        state = Hidden(start.h_LHN.clone(), start.c_LHN.clone())

        def steps(body: Kernel = body, state: Hidden = state) -> None:
            for features_FN in features:
                body.step(network, meta_params, features_FN, state, donate=True)

        def window(grad: torch.Tensor, body: Kernel = body) -> None:
            body.window_gradient(network, meta_params, features, start, grad)

        timings.add(f"{body.name}: 20 steps", steps)
        timings.add(f"{body.name}: window gradient", lambda window=window: window(dense))
        timings.add(f"{body.name}: window gradient, blank pixels", lambda window=window: window(sparse))
    timings.measure(args.rounds)

    rows = {name: (min(s), statistics.median(s)) for name, s in timings.seconds.items()}
    rate = 2 * MATRIX_SIZE**3 / rows["matrix product"][0]
    floor_s = floor_flops(network, COORDINATES, STEPS * WINDOWS) / rate
    ratios = {}
    for body in bodies:
        for case in ("", ", blank pixels"):
            parts = (rows[f"{body.name}: 20 steps"], rows[f"{body.name}: window gradient{case}"])
            best, median = (WINDOWS * sum(column) for column in zip(*parts, strict=True))
            rows[f"{body.name}: meta-iteration{case}"] = (best, median)
            ratios[f"{body.name}{case}"] = best / floor_s

    if args.json:
        print(
            json.dumps(
                {
                    "torch": torch.__version__,
                    "device": str(device),
                    "threads": args.threads,
                    "rounds": args.rounds,
                    "gflops": rate / 1e9,
                    "floor_s": floor_s,
                    "seconds_min_median": rows,
                    "ratio_to_floor": ratios,
                }
            )
        )
        return
    print(f"{'':44} {'min ms':>9} {'median ms':>10}")
    for name, (best, median) in rows.items():
        print(f"{name:44} {1e3 * best:9.2f} {1e3 * median:10.2f}")
    print(f"{'floor of a meta-iteration':44} {1e3 * floor_s:9.2f}   at {rate / 1e9:.0f} GFLOP/s")
    for name, ratio in ratios.items():
        print(f"ratio to the floor, {name:24} {ratio:9.2f}")


if __name__ == "__main__":
    main()
