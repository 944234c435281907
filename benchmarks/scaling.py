"""How the cost of meta-training grows: with coordinates, tasks and horizon; and whether memory stays flat.

Each table gives seconds and nanoseconds per coordinate and step; a cost that is linear has a constant last column.

    python benchmarks/scaling.py
"""

import argparse
import json
from collections.abc import Callable

import torch
from measuring import Timings, add_isa, conditions, fresh_peak_bytes, print_peak, use_isa

from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees.quadratic import Quadratic
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.meta.draws import draw
from rnnprop_cli.meta.meta_step import MetaState, build_meta_optimizer, meta_iteration
from rnnprop_cli.spec.train import TrainSpec, TruncationSpec

F32 = torch.float32
COORDINATES = (1_000, 4_000, 16_000, 64_000)
TASKS = (1, 2, 4, 8)
HORIZONS = (20, 40, 80, 160)
BASE = {"coordinates": 4_000, "tasks": 1, "horizon": 20}


def iteration(
    kernel_name: str, device: torch.device, coordinates: int, tasks: int, horizon: int
) -> Callable[[], object]:
    """A meta-iteration on quadratics: nearly all of it is the network."""
    kernel, _ = select_kernel(kernel_name, device, F32)  # type: ignore[arg-type]
    truncation = TruncationSpec(horizon=horizon, unroll=20)
    spec = TrainSpec(name="scaling", optimizer=RNNpropSpec(), truncation=truncation, meta_batch=tasks)
    rule = spec.optimizer.build()
    optimizee = Quadratic(coordinates, list(range(tasks)), F32, device)
    meta_params_Q = rule.start(0, F32, device)
    optimizer = build_meta_optimizer(spec.meta_optimizer, meta_params_Q).init(meta_params_Q[None])
    state, drawn = MetaState(meta_params_Q, optimizer), draw(spec, 0)
    return lambda: meta_iteration(spec, state, optimizee, rule, kernel, drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kernel", choices=("auto", "reference", "cpu", "cuda"), default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    add_isa(parser)
    args = parser.parse_args()
    use_isa(args.isa)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    if args.peak_of:
        print_peak(device, iteration(args.kernel, device, 16_000, 1, args.peak_of))
        return

    axes = {"coordinates": COORDINATES, "tasks": TASKS, "horizon": HORIZONS}
    timings = Timings(device)
    points: dict[str, dict[str, int]] = {}
    for axis, values in axes.items():
        for value in values:
            name = f"{axis} {value}"
            points[name] = BASE | {axis: value}
            timings.add(name, iteration(args.kernel, device, **points[name]))
    timings.measure(args.rounds)

    options = ["--kernel", args.kernel, "--device", args.device, "--threads", str(args.threads)]
    peaks = {horizon: fresh_peak_bytes(__file__, "--peak-of", str(horizon), *options) for horizon in HORIZONS}
    rows = {}
    for name, point in points.items():
        work = point["coordinates"] * point["tasks"] * point["horizon"]
        rows[name] = {
            "seconds": timings.best(name),
            "ns_per_coordinate_and_step": 1e9 * timings.best(name) / work,
        }
    if args.json:
        print(json.dumps({**conditions(device), "rows": rows, "peak_bytes_by_horizon": peaks}))
        return
    for name, row in rows.items():
        print(f"{name:20}{1e3 * row['seconds']:10.2f} ms{row['ns_per_coordinate_and_step']:10.1f} ns")
    for horizon, peak in peaks.items():
        print(f"peak memory at horizon {horizon:4}: {peak / 2**20:6.0f} MB")


if __name__ == "__main__":
    main()
