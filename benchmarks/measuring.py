"""What the benchmarks share: timings in turns, the machine's floor, the base MLP and its data, peer implementations.

Shared machines change from minute to minute: everything that is compared is measured in turns within one run, and
minima of one run are compared, never numbers of two runs.
"""

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnnprop_cli.components.datasets import Dataset, facts_of, load_dataset
from rnnprop_cli.errors import DataError
from rnnprop_cli.execute.device import PeakMemory
from rnnprop_cli.execute.openmp import bound_spin
from rnnprop_cli.kernels.network import Network

MATRIX_SIZE = 1536

# What --isa sets, and what PyTorch then says: our body follows it, and MKL's product, by which the floor is told.
# PyTorch has no product for fewer than AVX2 that could tell a floor: there, MKL's is that of SSE4.2.
INSTRUCTION_SETS = {
    "avx512": ({"ATEN_CPU_CAPABILITY": "avx512", "MKL_ENABLE_INSTRUCTIONS": "AVX512"}, "AVX512"),
    "avx2": ({"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}, "AVX2"),
    "plain": ({"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}, "NO AVX"),
}


def add_isa(parser: ArgumentParser) -> None:
    """Adds --isa."""
    parser.add_argument(
        "--isa", choices=INSTRUCTION_SETS, help="CPU instruction set of everything; default: the best here"
    )


def use_isa(isa: str | None, *, as_drop_in: bool = False) -> None:
    """Says which instruction set runs; where another is asked for, starts anew, for libraries choose when they load.

    Args:
        isa: one of `INSTRUCTION_SETS`; None: the best here.
        as_drop_in: PyTorch's threads wait as in a user's process, and not as the command line has them wait.
    """
    got = torch.backends.cpu.get_cpu_capability()
    variables, capability = INSTRUCTION_SETS[isa] if isa else ({}, got)
    wanted = {**os.environ, **variables}
    if not as_drop_in:
        bound_spin(wanted)
    if wanted != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.argv], wanted)
    if got != capability:
        sys.exit(f"--isa {isa}: this processor has it not (PyTorch says {got})")
    print(f"instruction set: {got}", file=sys.stderr)


class Timings:
    """Seconds of named pieces of work, measured in turns."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.work: dict[str, Callable[[], object]] = {}
        self.times: dict[str, int] = {}
        self.seconds: dict[str, list[float]] = {}

    def add(self, name: str, work: Callable[[], object], times: int = 1) -> None:
        """Registers a piece of work and runs it once, so that what is done only once is not measured.

        Args:
            name: what it is called.
            work: the piece of work.
            times: how often it is done on end in a turn; what counts is the mean.
        """
        self.work[name], self.times[name] = work, times
        self.seconds[name] = []
        work()

    def add_matrix_product(self) -> None:
        """The library's large float32 matrix product, by whose rate a floor is told."""
        left, right = torch.randn(2, MATRIX_SIZE, MATRIX_SIZE, device=self.device)
        product = torch.empty_like(left)
        self.add("matrix product", lambda: torch.mm(left, right, out=product))

    def measure(self, rounds: int) -> None:
        """Runs everything `rounds` times in turns; the short matrix product several times a turn."""
        for _ in range(rounds):
            for name, work in self.work.items():
                for _ in range(5 if name == "matrix product" else 1):
                    self.seconds[name].append(self._time(work, self.times[name]))

    def _time(self, work: Callable[[], object], times: int) -> float:
        """Seconds of one of so many on end, by CUDA events where there is CUDA."""
        if self.device.type != "cuda":
            start = time.perf_counter()
            for _ in range(times):
                work()
            return (time.perf_counter() - start) / times
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(self.device)
        before.record()
        for _ in range(times):
            work()
        after.record()
        after.synchronize()
        return before.elapsed_time(after) / 1e3 / times

    def best(self, name: str) -> float:
        """The shortest time, in seconds."""
        return min(self.seconds[name])

    @property
    def flops(self) -> float:
        """The matrix product's rate, in operations a second."""
        return 2 * MATRIX_SIZE**3 / self.best("matrix product")


def floor_flops(network: Network, coordinates: int, steps: int) -> float:
    """Multiplications and additions of meta-training: each weight once forward and twice backward."""
    products = sum(
        torch.Size(shape).numel() for name, shape in network.named_shapes() if not name.endswith("bias")
    )
    return 2.0 * 3 * products * coordinates * steps


def mnist(synthetic: bool = False) -> Dataset:
    """MNIST where it is found, else noise; see `images`."""
    return images("mnist", synthetic)


def images(name: str, synthetic: bool = False) -> Dataset:
    """A dataset where it is found (RNNPROP_DATA_DIR), else noise of its shape with a third of the pixels blank."""
    if not synthetic:
        try:
            return load_dataset(name)
        except DataError:
            pass
    generator = torch.Generator().manual_seed(0)
    n_train, n_test = 20_000, 2_000
    facts = facts_of(name)
    channels, height, width = facts.shape
    shape = (n_train + n_test, channels, height, width)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    blank = torch.rand(height, width, generator=generator) < 1 / 3
    images[:, :, blank] = 0
    labels = torch.randint(0, facts.outputs, (n_train + n_test,), generator=generator)
    return Dataset(
        name,
        images[:n_train],
        labels[:n_train],
        images[n_train:],
        labels[n_train:],
        1 / 255,
        classes=facts.classes,
        note="synthetic",
    )


class EagerNetwork(torch.nn.Module):
    """RNNprop's network as one writes it in PyTorch: two LSTM cells, coordinates as rows. The eager reference."""

    def __init__(self, hidden: int = 20) -> None:
        super().__init__()
        self.embed = torch.nn.Linear(2, hidden)
        self.cells = torch.nn.ModuleList(torch.nn.LSTMCell(hidden, hidden) for _ in range(2))
        self.out = torch.nn.Linear(hidden, 1)
        self.hidden = hidden

    def zero_state(self, n: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """h and c of both cells."""
        return [
            (torch.zeros(n, self.hidden, device=device), torch.zeros(n, self.hidden, device=device))
            for _ in "01"
        ]

    def forward(
        self, features: Tensor, state: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Steps of all coordinates, [N], and the next state."""
        x = torch.nn.functional.elu(self.embed(features))
        new = []
        for cell, pair in zip(self.cells, state, strict=True):
            pair = cell(x, pair)
            new.append(pair)
            x = pair[0]
        return torch.tanh(self.out(x)).squeeze(1), new


class EagerFeatures:
    """Equations 8 and 9, coordinates as rows."""

    def __init__(self, n: int, device: torch.device, beta: float = 0.95, eps: float = 1e-8) -> None:
        self.m, self.v = torch.zeros(n, device=device), torch.zeros(n, device=device)
        self.t, self.beta, self.eps = 0, beta, eps

    def __call__(self, grad: Tensor) -> Tensor:
        """[N, 2]."""
        self.t += 1
        self.m = self.beta * self.m + (1 - self.beta) * grad
        self.v = self.beta * self.v + (1 - self.beta) * grad * grad
        correction = 1 - self.beta**self.t
        root = (self.v / correction).sqrt() + self.eps
        return torch.stack([grad / root, self.m / correction / root], dim=1)


def fresh_peak_bytes(script: str, *arguments: str) -> int:
    """Peak memory of `script` run with these arguments in a process of its own; it prints JSON with `peak_bytes`."""
    result = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    return int(json.loads(result.stdout.strip().splitlines()[-1])["peak_bytes"])


def print_peak(device: torch.device, work: Callable[[], object]) -> None:
    """Runs the work and prints the peak memory of the process (of the device, on CUDA)."""
    memory = PeakMemory(device)
    work()
    print(json.dumps({"peak_bytes": memory.bytes()}))


def conditions(device: torch.device) -> dict[str, Any]:
    """What a reader of numbers must know."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "load_average": load,
    }
