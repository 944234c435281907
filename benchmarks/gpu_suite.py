"""Everything that needs a GPU, in one call within ten minutes.

1. Correctness: the CUDA body against the reference in float64; recorded windows and steps against plain ones.
2. Timings with CUDA events, all in turns: a meta-iteration of the base MLP by eager PyTorch, the reference body, the
   CUDA body launch by launch and as CUDA graphs, and of 8 tasks at once; an inner step; a matrix of 112 cells against
   a loop over torch.optim.
3. What the device does in a meta-iteration, program by program.
4. The paper's recipe, trained for the time that is left.

Writes results.json, tables.md, curve.csv and the trained weights. A part that fails is told and the others go on.

    python benchmarks/gpu_suite.py --out gpu_results
    python benchmarks/gpu_suite.py --out dry --dry-run     # the whole way on a CPU, in small: times mean nothing
"""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

DRY_RUN = "--dry-run" in sys.argv
if DRY_RUN:
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is imported, which torch may do

import torch  # noqa: E402
from gpu_kernels import cuda_kernel, kernel_errors  # noqa: E402
from gpu_profile import device_times  # noqa: E402
from gpu_tables import tables  # noqa: E402
from gpu_training import train_until  # noqa: E402
from matrix import OPTIMIZERS  # noqa: E402
from matrix_work import BatchedMatrix, LoopedCells  # noqa: E402
from measuring import Timings, conditions, floor_flops, mnist  # noqa: E402
from meta_training import SPEC, draw, eager_work  # noqa: E402

from rnnprop_cli.accelerate.optimizees import build_optimizee  # noqa: E402
from rnnprop_cli.accelerate.optimizers import build_baseline, build_learned  # noqa: E402
from rnnprop_cli.accelerate.tabled import with_table  # noqa: E402
from rnnprop_cli.components.datasets import Dataset  # noqa: E402
from rnnprop_cli.components.optimizees.mlp import MLPSpec  # noqa: E402
from rnnprop_cli.components.optimizers.adam import AdamSpec  # noqa: E402
from rnnprop_cli.components.optimizers.base import BaselineSpec, Given  # noqa: E402
from rnnprop_cli.components.optimizers.lion import LionSpec  # noqa: E402
from rnnprop_cli.components.optimizers.muon import MuonSpec  # noqa: E402
from rnnprop_cli.components.optimizers.schedule_free import ScheduleFreeAdamWSpec  # noqa: E402
from rnnprop_cli.execute.device import Engine  # noqa: E402
from rnnprop_cli.execute.recorded_steps import BLOCK, MIN_BLOCKS, Steps  # noqa: E402
from rnnprop_cli.kernels import KernelName  # noqa: E402
from rnnprop_cli.kernels.base import Kernel  # noqa: E402
from rnnprop_cli.kernels.network import Network  # noqa: E402
from rnnprop_cli.kernels.reference import ReferenceKernel  # noqa: E402
from rnnprop_cli.meta.draws import draw as schedule  # noqa: E402
from rnnprop_cli.meta.graphed import RecordedWindows, record_nothing  # noqa: E402
from rnnprop_cli.meta.meta_gradient import Estimator, known_output_gradient  # noqa: E402
from rnnprop_cli.meta.meta_step import MetaState, build_meta_optimizer, meta_iteration  # noqa: E402
from rnnprop_cli.spec.train import TrainSpec, TruncationSpec  # noqa: E402

F32 = torch.float32
GATE = 1e-4  # relative error of a meta-gradient in float32
TIME_FOR_MEASURING_S = 240.0  # training gets the rest


class Suite:
    """The parts, and what they found."""

    def __init__(self, out: Path, seconds: float, dry_run: bool) -> None:
        self.out, self.dry_run = out, dry_run
        self.deadline = time.monotonic() + seconds
        self.device = torch.device("cpu" if dry_run else "cuda")
        self.dataset: Dataset = mnist(synthetic=dry_run)
        self.record = record_nothing if dry_run else None
        self.kernel = cuda_kernel()
        self.mlp = MLPSpec(hidden=1) if dry_run else MLPSpec()
        short = {"truncation": TruncationSpec(horizon=4, unroll=2)} if dry_run else {}
        self.spec: TrainSpec = SPEC.model_copy(update=short)
        self.results: dict[str, Any] = {
            **conditions(self.device),
            "dry_run": dry_run,
            "data": self.dataset.note,
            "failed": {},
        }

    def run(self) -> None:
        """All parts; results are written after each."""
        self.out.mkdir(parents=True, exist_ok=True)
        for part in (
            self.correctness,
            self.recorded,
            self.recorded_steps,
            self.timings,
            self.programs,
            self.train,
        ):
            start = time.monotonic()
            try:
                self.results[part.__name__] = part()
            except Exception as error:
                self.results["failed"][part.__name__] = f"{type(error).__name__}: {error}"
                traceback.print_exc()
            print(f"{part.__name__}: {time.monotonic() - start:.0f} s", file=sys.stderr)
            self._write()

    def correctness(self) -> dict[str, Any]:
        """Relative errors of the CUDA body's step and window gradient to the reference in float64."""
        errors: dict[str, Any] = {}
        networks = {"rnnprop": Network(), "dm": Network(embedding=0, bounded=False)}
        for name, network in networks.items():
            for n in (1, 7) if self.dry_run else (33, 4097, 15_930, 127_440):
                step, window = kernel_errors(self.kernel, network, n, 2 if self.dry_run else 20, self.device)
                errors[f"{name} {n}"] = {"step": step, "window": window, "ok": max(step, window) < GATE}
        errors["ok"] = all(case["ok"] for case in errors.values())
        return errors

    def recorded(self) -> dict[str, Any]:
        """Whether recorded windows train as plain ones do: train losses of both, and why if not recorded."""
        iterations = 1 if self.dry_run else 10
        estimator = RecordedWindows(self.record)
        curves = [self._losses(estimator, iterations), self._losses(known_output_gradient, iterations)]
        worst = max(abs(a - b) / abs(b) for a, b in zip(*curves, strict=True))
        return {
            "notice": estimator.notice,
            "worst_difference": worst,
            "ok": worst < 1e-3 and not estimator.notice,
        }

    def recorded_steps(self) -> dict[str, Any]:
        """Whether recorded blocks of a benchmark's steps give what single steps give, and why if not recorded."""
        found: dict[str, Any] = {}
        horizon = MIN_BLOCKS * BLOCK
        specs = {spec.kind: spec for spec in (AdamSpec(), LionSpec(), MuonSpec(), ScheduleFreeAdamWSpec())}
        for name, spec in (specs | {"rnnprop": self.spec.optimizer}).items():
            if self.dry_run and name == "rnnprop":
                continue  # minutes, interpreted
            ends, notices = [], []
            for record in (record_nothing, self.record):
                optimizee = build_optimizee(
                    self.mlp, self.small, (0, 1), 8, F32, self.device, self.kernel.passes
                )
                params_CP = optimizee.init_params().repeat_interleave(2, dim=0)
                rate_C = torch.tensor([1e-3, 1e-2] * 2, device=self.device)
                if isinstance(spec, BaselineSpec):
                    given = Given(rate_C, horizon, optimizee.shapes, optimizee.matrices)
                    optimizer = build_baseline(spec, given, self.kernel)
                else:
                    meta_params_Q = spec.build().start(0, F32, self.device)
                    optimizer = build_learned(spec.build(), meta_params_Q, Given(rate_C, 100), self.kernel)
                steps = Steps(optimizee, with_table(optimizer, self.kernel), params_CP, record)
                losses_TC = torch.cat(list(steps.take(horizon)))
                ends.append(losses_TC.double())
                notices.append(steps.notice)
            worst = float((ends[0] - ends[1]).norm() / ends[0].norm())
            found[name] = {"notice": notices[1], "difference": worst, "ok": worst < GATE and not notices[1]}
        found["ok"] = all(case["ok"] for case in found.values())
        return found

    def _losses(self, estimator: Estimator, iterations: int) -> list[float]:
        work = self.meta_work(self.kernel, estimator)
        return [float(work()) for _ in range(iterations)]

    def meta_work(self, kernel: Kernel, estimator: Estimator, tasks: int = 1) -> Callable[[], torch.Tensor]:
        """One meta-iteration of the base MLP after the other; returns its train loss."""
        rule = self.spec.optimizer.build()
        meta_params_Q = rule.start(0, F32, self.device)
        optimizer = build_meta_optimizer(self.spec.meta_optimizer, meta_params_Q).init(meta_params_Q[None])
        state = MetaState(meta_params_Q, optimizer)
        number = 0

        def work() -> torch.Tensor:
            nonlocal state, number
            optimizee = draw(self.small, number, self.device, kernel.passes, tasks, self.mlp)
            number += 1
            state, loss = meta_iteration(
                self.spec, state, optimizee, rule, kernel, schedule(self.spec, 0), estimator
            )
            return loss

        return work

    @property
    def small(self) -> Dataset:
        """The dataset of meta-iterations; in a dry run of four pixels, which the interpreter can take."""
        if not self.dry_run:
            return self.dataset
        images = self.dataset.train_images[:, :, ::14, ::14]
        return Dataset("small", images, self.dataset.train_labels, None, None, 1 / 255, classes=10)

    def timings(self) -> dict[str, Any]:
        """Seconds by CUDA events, best of the rounds, everything in turns."""
        tasks = 2 if self.dry_run else 8
        device = self.device
        clock = Timings(device)
        clock.add_matrix_product()
        plain = known_output_gradient
        clock.add("meta-iteration, eager", eager_work(self.small, device, self.spec, self.mlp))
        clock.add("meta-iteration, reference body", self.meta_work(ReferenceKernel(), plain))
        clock.add("meta-iteration, cuda body", self.meta_work(self.kernel, plain))
        clock.add(
            "meta-iteration, cuda body recorded", self.meta_work(self.kernel, RecordedWindows(self.record))
        )
        many = self.meta_work(self.kernel, RecordedWindows(self.record), tasks)
        clock.add(f"meta-iteration of {tasks} tasks, recorded", many)
        clock.add("inner step of 15,910 coordinates, cuda body", self.step_work())
        spec, make = OPTIMIZERS["adam"]
        kernel_name: KernelName = "reference" if self.dry_run else "auto"
        engine = Engine(device.type, torch.get_num_threads(), None, kernel_name)
        seeds, rates, steps = (2, 2, 3) if self.dry_run else (8, 14, 100)
        batched = BatchedMatrix(MLPSpec(), spec, seeds, rates, steps, engine, self.dataset)
        looped = LoopedCells(MLPSpec(), make, 1 if self.dry_run else 4, steps, self.dataset, device)
        clock.add("matrix, batched", batched)
        clock.add("matrix, loop", looped)
        started, rounds = time.monotonic(), 0
        while rounds < (1 if self.dry_run else 20) and time.monotonic() - started < TIME_FOR_MEASURING_S:
            clock.measure(1)
            rounds += 1

        seconds = {name: clock.best(name) for name in clock.work}
        coordinates = draw(self.small, 0, device, None, 1, self.mlp).n_coordinates
        network = self.spec.optimizer.build().network
        floor_s = floor_flops(network, coordinates, schedule(self.spec, 0).horizon) / clock.flops
        one, eager = seconds["meta-iteration, cuda body recorded"], seconds["meta-iteration, eager"]
        return {
            "rounds": rounds,
            "gflops": clock.flops / 1e9,
            "floor_s": floor_s,
            "seconds": seconds,
            "ratio_to_floor": one / floor_s,
            "speedup_vs_reference": eager / one,
            "many_tasks_vs_one": seconds[f"meta-iteration of {tasks} tasks, recorded"] / one,
            "matrix_speedup_vs_loop": (min(looped.steps_s[1:]) / looped.cells)
            / (min(batched.steps_s[1:]) / batched.cells),
            "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        }

    def programs(self) -> dict[str, Any]:
        """Where the device's time goes in a recorded meta-iteration of one task and of 8."""
        if self.dry_run:
            return {}
        found = {}
        for tasks in (1, 8):
            work = self.meta_work(self.kernel, RecordedWindows(self.record), tasks)
            for _ in range(3):  # recorded in the first, compared in the second
                work()
            found[f"{tasks} at once"] = device_times(work)
        return found

    def step_work(self) -> Callable[[], object]:
        """One step of RNNprop with the gradient given."""
        spec = self.spec.optimizer
        meta_params_Q = spec.build().start(0, F32, self.device)
        optimizer = build_learned(
            spec.build(), meta_params_Q, Given(torch.tensor([0.1], device=self.device), 100), self.kernel
        )
        params_CP = torch.zeros(1, 50 if self.dry_run else 15_910, device=self.device)
        grads_CP = torch.randn_like(params_CP)
        state = optimizer.init(params_CP)

        def work() -> None:
            nonlocal state
            state = optimizer.advance(grads_CP, state, params_CP)

        return work

    def train(self) -> dict[str, Any]:
        """The paper's recipe until the time is up."""
        small = {
            "optimizee": MLPSpec(dataset="digits", hidden=1),
            "truncation": TruncationSpec(horizon=4, unroll=2),
            "minibatch": 4,
            "meta_iterations": 2,
        }
        spec = self.spec.model_copy(update=small) if self.dry_run else self.spec
        engine = Engine(
            self.device.type, torch.get_num_threads(), None, "reference" if self.dry_run else "cuda"
        )
        return train_until(self.deadline, spec, engine, self.out)

    def _write(self) -> None:
        (self.out / "results.json").write_text(json.dumps(self.results, indent=1) + "\n")
        (self.out / "tables.md").write_text(tables(self.results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for results, tables and weights")
    parser.add_argument(
        "--seconds", type=float, default=540.0, help="for everything; training takes what is left"
    )
    parser.add_argument("--dry-run", action="store_true", help="on a CPU, in small, Triton interpreted")
    args = parser.parse_args()
    if not args.dry_run and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device; try --dry-run")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    suite = Suite(args.out, args.seconds, args.dry_run)
    suite.run()
    print((args.out / "tables.md").read_text())
    if suite.results["failed"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
