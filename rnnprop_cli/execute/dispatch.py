"""How the driver of a benchmark has its jobs carried out: one small interface, and how a job is run in a process.

A job that cannot be carried out is a result too: its cells come back as `failed` with the reason, so that one batch
that does not fit never ends a benchmark.
"""

import gc
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

import torch

from rnnprop_cli.errors import DeviceLostError
from rnnprop_cli.execute import bench
from rnnprop_cli.execute.bench import BatchDone, BatchEvents, BatchJob, BatchProgress
from rnnprop_cli.execute.device import is_lost
from rnnprop_cli.records import CellResult

WINDOW_PER_SLOT: Final = 4  # jobs that a dispatcher holds for each batch that it runs at once
# What a batch may fail with; anything else is a fault of the program and ends it.
FAILURES: Final = (RuntimeError, MemoryError, ArithmeticError, ValueError)
_NO_MEMORY: Final = (
    "can't allocate memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "HOST_ALLOCATION_FAILED",  # of cuDNN 9
    "when calling `cublasCreate",  # the handle's workspace did not fit
)


class Dispatched(NamedTuple):
    """Something happened to a job."""

    job: BatchJob
    event: BatchProgress | BatchDone


class Said(NamedTuple):
    """A line for the reader about where jobs are carried out."""

    text: str


class Dispatcher(Protocol):
    """Carries out jobs, here or elsewhere, each at least once. Whatever it is, it keeps nothing: the store is the
    ledger, and a job whose result is not in it has not been done. `engines.open_dispatcher` chooses one."""

    window: int  # jobs that it holds at once, so that a driver which dies loses little

    def submit(self, job: BatchJob) -> None:
        """Takes a job; the caller keeps to the window."""
        ...

    def poll(self) -> Dispatched | Said | None:
        """The next thing that happened to a job, or that is to be said; None after a moment in which nothing did."""
        ...

    def finished(self) -> list[Dispatched]:
        """What has been done already and not been told yet, without waiting."""
        ...

    def release(self, job: BatchJob) -> None:
        """The result of a job is in the store: whatever else holds it may go."""
        ...

    def close(self) -> None:
        """Drops every job and leaves no process behind."""
        ...


def run_job(job: BatchJob) -> BatchEvents:
    """Runs a batch; where the memory does not suffice for it in halves, and those again, as far as it takes.

    Yields:
        as `run_batch`; cells that could not be run are `failed` with the reason.

    Raises:
        DeviceLostError: the GPU answers this process no more; what the batch could give is not known.
    """
    waiting = [job]
    results: dict[str, CellResult] = {}
    while waiting:
        part = waiting.pop()
        try:
            for event in bench.run_batch(part):
                if isinstance(event, BatchDone):
                    results |= {result.key: result for result in event.results}
                else:
                    yield event
            continue
        except FAILURES as error:
            reason, no_memory = reason_of(error), is_out_of_memory(error)
        # Out here, because the traceback of a caught exception keeps the tensors of the failed attempt alive.
        if is_lost(job.engine.torch_device):
            raise DeviceLostError(f"the GPU stopped working for this process: {reason}")
        _free_memory()
        parts = halves(part) if no_memory else (part,)
        if len(parts) > 1:
            waiting.extend(reversed(parts))
        else:
            alone = f" (also in a batch of {len(part.keys)})" if part is not job else ""
            results |= {
                result.key: result for result in failed(part.keys, reason + alone, socket.gethostname())
            }
    yield BatchDone(tuple(results[key] for key in job.keys))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory did not suffice; the CPU allocator of torch says so in a plain RuntimeError only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def reason_of(error: BaseException) -> str:
    """What a failed run is recorded with."""
    return f"{type(error).__name__}: {error}"


def failed(keys: Sequence[str], reason: str, node: str | None = None) -> tuple[CellResult, ...]:
    """Results of cells that could not be run, and on which machine, where that is known."""
    return tuple(CellResult(key, "failed", error=reason, node=node) for key in keys)


def halves(job: BatchJob) -> tuple[BatchJob, ...]:
    """The job in two, by seeds if there are several, else by learning rates; itself if it is a single cell."""
    batch = job.batch
    if len(job.keys) == 1:
        return (job,)
    axis = "seeds" if len(batch.seeds) > 1 else "learning_rates"
    values = getattr(batch, axis)
    middle = (len(values) + 1) // 2
    return tuple(_part(job, **{axis: part}) for part in (values[:middle], values[middle:]))


def alone(job: BatchJob) -> tuple[BatchJob, ...]:
    """A job for each cell."""
    batch = job.batch
    return tuple(
        _part(job, seeds=(seed,), learning_rates=(rate,))
        for seed in batch.seeds
        for rate in batch.learning_rates
    )


def _part(job: BatchJob, **axes: tuple[int, ...] | tuple[float | None, ...]) -> BatchJob:
    keys = {(cell.seed, cell.lr): key for cell, key in zip(job.batch.cells(), job.keys, strict=True)}
    batch = replace(job.batch, **axes)  # type: ignore[arg-type]
    return replace(job, batch=batch, keys=tuple(keys[cell.seed, cell.lr] for cell in batch.cells()))


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
