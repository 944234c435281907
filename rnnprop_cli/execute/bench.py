"""Runs a batch of cells: the inner loop of every benchmark.

Shape legend: S seeds, C cells (seed by seed), P coordinates, T steps.
"""

import socket
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, nan
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.accelerate.optimizers import build_baseline, build_learned
from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.datasets.base import check_unchanged
from rnnprop_cli.components.optimizees.base import Heldout, Optimizee
from rnnprop_cli.components.optimizers.base import BaselineSpec, Given, Optimizer
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.execute.arrived import find_dataset
from rnnprop_cli.execute.device import DTYPES, Engine, PeakMemory
from rnnprop_cli.execute.divergence import FirstBadSteps
from rnnprop_cli.execute.recorded_steps import Steps
from rnnprop_cli.execute.thinning import Thinner
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.plan.cells import CellBatch
from rnnprop_cli.records import CellResult, CurveBlock

STEPS_PER_CHUNK: Final = 1024  # losses wait on the device for at most this many steps ...
SECONDS_PER_CHUNK: Final = 1.0  # ... and at most about this long, so that a viewer sees them move
STEPS_PER_BREATH: Final = 10  # how often the consumer gets a chance to stop us


@dataclass(frozen=True)
class BatchJob:
    """A batch with all that it takes to run it anywhere. A plain picklable value."""

    batch: CellBatch
    keys: tuple[str, ...]  # content hash of every cell, in the order of `batch.cells()`
    weights: Weights | None  # meta-params, for a learned optimizer
    engine: Engine
    curve_points: int  # longer curves are thinned
    dataset_sha256: str | None = None  # of the dataset that the keys stand for; None: whatever is there


@dataclass(frozen=True)
class BatchProgress:
    """Where a running batch stands."""

    steps_done: int
    curves: tuple[CurveBlock, ...] = ()  # losses since the last time
    notice: str | None = None  # one line that somebody should read; with the last step


@dataclass(frozen=True)
class BatchDone:
    """The last thing that a batch yields."""

    results: tuple[CellResult, ...]  # one per cell, in the order of `CellBatch.cells`


BatchEvents = Generator[BatchProgress | BatchDone, None, None]


def run_batch(job: BatchJob) -> BatchEvents:
    """Runs every cell of the batch for its horizon.

    Memory does not grow with the horizon: losses leave with the progress that is yielded.

    Yields:
        `BatchProgress` now and then, `BatchDone` at the end.

    Raises:
        DataError: the dataset is not the one that the job is for.
    """
    started = time.monotonic()
    batch, engine = job.batch, job.engine
    device, dtype = engine.torch_device, DTYPES[batch.problem.dtype]
    memory = PeakMemory(device)
    horizon = batch.problem.horizon
    kernel, _ = select_kernel(engine.kernel, device, dtype)
    dataset = _dataset(batch.problem.optimizee.dataset_name, engine.data_dir, job.dataset_sha256)
    check_unchanged([] if dataset is None else [dataset], job.dataset_sha256)
    optimizee = build_optimizee(
        batch.problem.optimizee,
        dataset,
        batch.seeds,
        batch.problem.minibatch,
        dtype,
        device,
        kernel.passes,
        batch.problem.sampling,
    )
    optimizer = _build_optimizer(job, kernel, optimizee, dtype)
    params_CP = optimizee.init_params().repeat_interleave(len(batch.learning_rates), dim=0)
    steps = Steps(optimizee, optimizer, params_CP)

    thinner = Thinner(job.keys, horizon, job.curve_points)
    first_bad = FirstBadSteps(len(batch))
    pending: list[Tensor] = []
    last_chunk = started
    done = waiting = breath = 0
    for each_TC in steps.take(horizon):
        pending.append(each_TC)
        done, waiting = done + len(each_TC), waiting + len(each_TC)
        last = done == horizon
        if last or waiting >= STEPS_PER_CHUNK or time.monotonic() - last_chunk > SECONDS_PER_CHUNK:
            last_chunk, waiting = time.monotonic(), 0
            losses_TC = _take(pending)
            first_bad.add(losses_TC)
            yield BatchProgress(done, thinner.add(losses_TC, last=last), steps.notice if last else None)
        elif done > breath:
            breath = done + STEPS_PER_BREATH - 1
            yield BatchProgress(done)

    params_CP = optimizer.evaluated(params_CP, steps.state)
    final_C = optimizee.mean_loss(params_CP, horizon).tolist()
    heldout = None if batch.phase == "tuning" else optimizee.heldout(params_CP)  # nothing is chosen by it
    elapsed_s = time.monotonic() - started
    yield BatchDone(_results(job, first_bad.steps, final_C, heldout, elapsed_s, memory.bytes()))


def _build_optimizer(
    job: BatchJob, kernel: Kernel, optimizee: Optimizee, dtype: torch.dtype
) -> Optimizer[Any]:
    batch, weights, device = job.batch, job.weights, job.engine.torch_device
    own = nan if weights is None else weights.architecture.alpha  # nan: an optimizer that has no rate
    rates = [own if rate is None else rate for rate in batch.learning_rates] * len(batch.seeds)
    rate_C = torch.tensor(rates, dtype=dtype, device=device)
    given = Given(rate_C, batch.problem.horizon, optimizee.shapes, optimizee.matrices, optimizee.fan_ins)
    if weights is not None:
        assert isinstance(batch.optimizer, LearnedSpec), "only a learned optimizer comes with weights"
        factor = batch.optimizer.factor(batch.problem.horizon)
        return build_learned(weights.rule(), weights.meta_params(dtype, device), given, kernel, factor)
    assert isinstance(batch.optimizer, BaselineSpec), "a learned optimizer comes with its weights"
    return build_baseline(batch.optimizer, given, kernel)


@lru_cache(maxsize=4)
def _dataset(name: str | None, data_dir: Path | None, sha256: str | None) -> Dataset | None:
    """Datasets stay in memory between batches; one that is to be another is read anew."""
    return None if name is None else find_dataset(name, data_dir, sha256)


def _take(pending: list[Tensor]) -> NDArray[np.float32]:
    """The losses that wait on the device, [T, C] each; the list is emptied."""
    block = torch.cat(pending).to(device="cpu", dtype=torch.float32).numpy()
    pending.clear()
    return block


def _results(
    job: BatchJob,
    first_bad_C: list[int | None],
    final_C: list[float],
    heldout: Heldout | None,
    elapsed_s: float,
    peak_bytes: int,
) -> tuple[CellResult, ...]:
    n_cells = len(job.keys)
    heldout_loss_C = [None] * n_cells if heldout is None else heldout.loss_C.tolist()
    accuracy = None if heldout is None else heldout.accuracy_C
    accuracy_C = [None] * n_cells if accuracy is None else accuracy.tolist()
    results = []
    for cell, key in enumerate(job.keys):
        bad = first_bad_C[cell]
        if bad is None and not isfinite(final_C[cell]):
            bad = job.batch.problem.horizon  # the very last update did it
        results.append(
            CellResult(
                key=key,
                status="done" if bad is None else "diverged",
                final_loss=final_C[cell],
                heldout_loss=heldout_loss_C[cell],
                heldout_accuracy=accuracy_C[cell],
                first_bad_step=bad,
                elapsed_s=elapsed_s / n_cells,
                peak_bytes=peak_bytes,
                node=socket.gethostname(),
            )
        )
    return tuple(results)
