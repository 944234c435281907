"""Runs a batch of cells: the inner loop of every benchmark.

Shape legend: S seeds, C cells (seed by seed), P coordinates, T steps.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnprop_cli.data.datasets import Dataset, load_dataset
from rnnprop_cli.execute.device import DTYPES, Engine, PeakMemory
from rnnprop_cli.execute.divergence import first_bad_steps
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.optimizees.base import Heldout
from rnnprop_cli.optimizees.build import build_optimizee
from rnnprop_cli.optimizers.base import Optimizer
from rnnprop_cli.optimizers.build import build_baseline, build_learned
from rnnprop_cli.plan.cells import CellBatch
from rnnprop_cli.records import LOSS, CellResult, CurveBlock
from rnnprop_cli.spec.optimizees import dataset_of
from rnnprop_cli.spec.optimizers import LearnedSpec

STEPS_PER_CHUNK: Final = 1024  # losses wait on the device for at most this many steps ...
SECONDS_PER_CHUNK: Final = 1.0  # ... and at most about this long, so that a viewer sees them move
STEPS_PER_BREATH: Final = 10  # how often the consumer gets a chance to stop us


@dataclass(frozen=True)
class BatchProgress:
    """Where a running batch stands."""

    steps_done: int
    curves: tuple[CurveBlock, ...] = ()  # losses since the last time


@dataclass(frozen=True)
class BatchDone:
    """The last thing that a batch yields: one result per cell, in the order of `CellBatch.cells`."""

    results: tuple[CellResult, ...]
    curves: tuple[CurveBlock, ...]  # whole loss curves


def run_batch(
    batch: CellBatch, keys: list[str], weights: Weights | None, engine: Engine
) -> Generator[BatchProgress | BatchDone, None, None]:
    """Runs every cell of the batch for its horizon.

    Args:
        batch: what to run.
        keys: content hash of every cell, in the order of `batch.cells()`.
        weights: meta-params, for a learned optimizer.
        engine: where to run.

    Yields:
        `BatchProgress` now and then, `BatchDone` at the end.
    """
    started = time.monotonic()
    device, dtype = engine.torch_device, DTYPES[batch.problem.dtype]
    memory = PeakMemory(device)
    horizon = batch.problem.horizon
    optimizee = build_optimizee(
        batch.problem.optimizee,
        _dataset(dataset_of(batch.problem.optimizee), engine.data_dir),
        batch.seeds,
        batch.problem.minibatch,
        dtype,
        device,
    )
    optimizer = _build_optimizer(batch, weights, dtype, engine)
    params_CP = optimizee.init_params().repeat_interleave(len(batch.learning_rates), dim=0)
    state = optimizer.init(params_CP)

    history: list[NDArray[np.float32]] = []  # [T, C] blocks that have left the device
    pending: list[Tensor] = []
    last_chunk = started
    for step in range(horizon):
        loss_C, grads_CP = optimizee.loss_and_grad(params_CP, step)
        pending.append(loss_C)
        updates_CP, state = optimizer.update(grads_CP, state, params_CP, donate=True)
        params_CP += updates_CP
        if len(pending) == STEPS_PER_CHUNK or time.monotonic() - last_chunk > SECONDS_PER_CHUNK:
            last_chunk = time.monotonic()
            block_TC = _take(pending)
            first = step + 1 - len(block_TC)
            history.append(block_TC)
            yield BatchProgress(step + 1, _curves(keys, block_TC, first))
        elif step % STEPS_PER_BREATH == 0:
            yield BatchProgress(step + 1)
    if pending:
        history.append(_take(pending))

    losses_TC = np.concatenate(history)
    final_C = optimizee.mean_loss(params_CP, horizon).tolist()
    heldout = optimizee.heldout(params_CP)
    elapsed_s = time.monotonic() - started
    results = _results(keys, losses_TC, final_C, heldout, elapsed_s, memory.bytes())
    yield BatchDone(results, _curves(keys, losses_TC, 0))


def _build_optimizer(
    batch: CellBatch, weights: Weights | None, dtype: torch.dtype, engine: Engine
) -> Optimizer[Any]:
    device = engine.torch_device
    spec = batch.optimizer
    if isinstance(spec, LearnedSpec):
        assert weights is not None, "a learned optimizer comes with its weights"
        own = weights.architecture.alpha
        rates = [own if lr is None else lr for lr in batch.learning_rates] * len(batch.seeds)
        kernel, _ = select_kernel(engine.kernel, device, dtype)
        alpha_C = torch.tensor(rates, dtype=dtype, device=device)
        return build_learned(weights.architecture, weights.meta_params(dtype, device), alpha_C, kernel)
    lr_C = torch.tensor(list(batch.learning_rates) * len(batch.seeds), dtype=dtype, device=device)
    return build_baseline(spec, lr_C, batch.problem.horizon)


@lru_cache(maxsize=4)
def _dataset(name: str | None, data_dir: Path | None) -> Dataset | None:
    """Datasets stay in memory between batches."""
    return None if name is None else load_dataset(name, data_dir)


def _take(pending: list[Tensor]) -> NDArray[np.float32]:
    """The losses that wait on the device, [T, C]; the list is emptied."""
    block = torch.stack(pending).to(device="cpu", dtype=torch.float32).numpy()
    pending.clear()
    return block


def _curves(keys: list[str], losses_TC: NDArray[np.float32], first: int) -> tuple[CurveBlock, ...]:
    return tuple(
        CurveBlock(key, LOSS, first, np.ascontiguousarray(losses_TC[:, cell]))
        for cell, key in enumerate(keys)
    )


def _results(
    keys: list[str],
    losses_TC: NDArray[np.float32],
    final_C: list[float],
    heldout: Heldout | None,
    elapsed_s: float,
    peak_bytes: int,
) -> tuple[CellResult, ...]:
    n_cells = len(keys)
    heldout_loss_C = [None] * n_cells if heldout is None else heldout.loss_C.tolist()
    accuracy = None if heldout is None else heldout.accuracy_C
    accuracy_C = [None] * n_cells if accuracy is None else accuracy.tolist()
    bad_C = first_bad_steps(losses_TC)
    results = []
    for cell, key in enumerate(keys):
        bad = bad_C[cell]
        if bad is None and not np.isfinite(final_C[cell]):
            bad = len(losses_TC)  # the very last update did it
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
            )
        )
    return tuple(results)
