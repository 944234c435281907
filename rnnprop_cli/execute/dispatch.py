"""How the driver of a benchmark has its jobs carried out: one small interface, and the body that runs them here.

A job that cannot be carried out is a result too: its cells come back as `failed` with the reason, so that one batch
that does not fit never ends a benchmark.
"""

import gc
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

import torch

from rnnprop_cli.execute import bench
from rnnprop_cli.execute.bench import BatchDone, BatchEvents, BatchJob, BatchProgress
from rnnprop_cli.records import CellResult

# What a batch may fail with; anything else is a fault of the program and ends it.
FAILURES: Final = (RuntimeError, MemoryError, ArithmeticError, ValueError)
_NO_MEMORY: Final = ("can't allocate memory", "out of memory")


class Dispatched(NamedTuple):
    """Something happened to a job."""

    job: BatchJob
    event: BatchProgress | BatchDone


class Dispatcher(Protocol):
    """Carries out jobs, here or elsewhere, each at least once. Whatever it is, it keeps nothing: the store is the
    ledger, and a job whose result is not in it has not been done."""

    window: int  # jobs that it holds at once, so that a driver which dies loses little

    def submit(self, job: BatchJob) -> None:
        """Takes a job; the caller keeps to the window."""
        ...

    def poll(self) -> Dispatched | None:
        """The next thing that happened to a job; None after a moment in which nothing did."""
        ...

    def finished(self) -> list[Dispatched]:
        """What has been done already and not been told yet, without waiting."""
        ...

    def close(self) -> None:
        """Drops every job and leaves no process behind."""
        ...


class InProcess:
    """Runs one job at a time in this process."""

    window = 1

    def __init__(self) -> None:
        self._running: tuple[BatchJob, BatchEvents] | None = None

    def submit(self, job: BatchJob) -> None:
        """See `Dispatcher`."""
        assert self._running is None, "one job at a time"
        self._running = job, run_job(job)

    def poll(self) -> Dispatched | None:
        """See `Dispatcher`."""
        if self._running is None:
            return None
        job, events = self._running
        event = next(events)
        if isinstance(event, BatchDone):
            self._running = None
        return Dispatched(job, event)

    def finished(self) -> list[Dispatched]:
        """See `Dispatcher`."""
        return []

    def close(self) -> None:
        """See `Dispatcher`."""
        if self._running is not None:
            self._running[1].close()
            self._running = None


def run_job(job: BatchJob) -> BatchEvents:
    """Runs a batch, and once more in halves if the memory does not suffice for the whole.

    Yields:
        as `run_batch`; cells that could not be run are `failed` with the reason.
    """
    parts: Sequence[BatchJob] = (job,)
    reason = ""
    try:
        yield from bench.run_batch(job)
        return
    except FAILURES as error:
        reason = reason_of(error)
        if is_out_of_memory(error):
            parts = halves(job)
    # Out here, because the traceback of a caught exception keeps the tensors of the failed attempt alive.
    if len(parts) == 1:
        yield BatchDone(failed(job.keys, reason))
        return
    results: dict[str, CellResult] = {}
    for part in parts:
        _free_memory()
        try:
            for event in bench.run_batch(part):
                if isinstance(event, BatchDone):
                    results |= {result.key: result for result in event.results}
                else:
                    yield event
        except FAILURES as error:
            reason = f"{reason_of(error)} (also in a batch of {len(part.keys)})"
            results |= {result.key: result for result in failed(part.keys, reason)}
    yield BatchDone(tuple(results[key] for key in job.keys))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory did not suffice; the CPU allocator of torch says so in a plain RuntimeError only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def reason_of(error: BaseException) -> str:
    """What a failed run is recorded with."""
    return f"{type(error).__name__}: {error}"


def failed(keys: Sequence[str], reason: str) -> tuple[CellResult, ...]:
    """Results of cells that could not be run."""
    return tuple(CellResult(key, "failed", error=reason) for key in keys)


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
