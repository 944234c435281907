"""How fast this machine works, for estimates: it multiplies matrices and computes a few gradients."""

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import torch

from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.components.datasets import Dataset, facts_of, load_dataset
from rnnprop_cli.components.datasets.base import stand_in
from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.errors import DataError
from rnnprop_cli.execute.device import DTYPES, Engine
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.plan.cost import gradient_flops

SIZE: Final = 768
SECONDS: Final = 0.2
SEEDS: Final = 2  # cells of one seed share minibatches, as in most batches
TRIAL_FLOPS: Final = 2e9  # enough cells at a time that calls cost nothing beside their work
TRIAL_CELLS: Final = 256  # at most
TRIAL_IMAGES: Final = 1000


class StepSeconds(NamedTuple):
    """What one cell takes for one minibatch."""

    gradient: float
    loss: float


def product_rate(engine: Engine, dtype: str) -> float:
    """Floating-point operations per second of a large matrix product, the best of a few."""
    device = engine.torch_device
    a = torch.ones(SIZE, SIZE, dtype=DTYPES[dtype], device=device)

    def work() -> None:
        product = a @ a
        float(product[0, 0])  # waits for the device

    return 2 * SIZE**3 / min(_seconds(work))


def step_seconds(spec: OptimizeeSpec, minibatch: int, dtype: str, engine: Engine) -> StepSeconds:
    """Times the optimizee itself, on its data or on noise of the same shape where that is not here."""
    device = engine.torch_device
    kernel, _ = select_kernel(engine.kernel, device, DTYPES[dtype])
    name = spec.dataset_name
    dataset = None if name is None else _images(name, engine.data_dir)
    seeds = range(SEEDS)
    optimizee = build_optimizee(spec, dataset, seeds, minibatch, DTYPES[dtype], device, kernel.passes)
    wanted = TRIAL_FLOPS / gradient_flops(spec, minibatch) / SEEDS
    per_seed = max(engine.threads, min(TRIAL_CELLS // SEEDS, round(wanted)))
    params_CP = optimizee.init_params().repeat_interleave(per_seed, dim=0)

    def gradient() -> None:
        float(optimizee.loss_and_grad(params_CP, 0)[0][0])

    @torch.no_grad()
    def loss() -> None:
        float(optimizee.loss(params_CP, 0)[0])

    # the median and not the best: what a long run meets, other work on the machine included
    return StepSeconds(*(median(_seconds(work)) / len(params_CP) for work in (gradient, loss)))


def _seconds(work: Callable[[], object]) -> list[float]:
    """Of a few runs, at least three."""
    seconds: list[float] = []
    deadline = time.monotonic() + SECONDS
    while len(seconds) < 3 or time.monotonic() < deadline:
        started = time.monotonic()
        work()
        seconds.append(time.monotonic() - started)
    return seconds


@lru_cache(maxsize=4)
def _images(name: str, data_dir: Path | None) -> Dataset:
    try:
        return load_dataset(name, data_dir)
    except DataError:
        return stand_in(name, facts_of(name), TRIAL_IMAGES)
