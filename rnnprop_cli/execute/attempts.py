"""What becomes of a batch over which a process died, alike for all engines.

A batch that kills its worker is tried again, then its cells are tried alone, so that a cell which kills every worker
fails by itself. A batch over which a GPU is lost is tried once more, in a fresh process; that the GPU is lost again is
a result.
"""

import time
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rnnprop_cli.errors import RunError
from rnnprop_cli.execute.bench import BatchDone, BatchJob
from rnnprop_cli.execute.dispatch import Dispatched, alone, failed
from rnnprop_cli.records import CellResult

TRIES: Final = 4  # of a batch, or of a cell that is a batch of its own
TRIES_LOST: Final = 2  # of a batch over which a GPU is lost
TRIES_ALONE: Final = 2  # of a cell whose batch has used up its tries
MISFORTUNES: Final = 20  # in a row, without a result
MOMENT_S: Final = 5.0


@dataclass(eq=False)
class Task:
    """A job, or one cell of it, with what has become of it."""

    job: BatchJob
    tries_left: int
    whole: "Pieces | None" = None  # the batch that it is a lone cell of
    lost: str | None = None  # how a GPU was lost over it

    @classmethod
    def first(cls, job: BatchJob, lost: str | None = None) -> "Task":
        """A job that was just submitted.

        Args:
            job: to run.
            lost: how a GPU was lost over it in another process, if one was: then it is tried once.
        """
        return cls(job, TRIES if lost is None else TRIES_LOST - 1, lost=lost)

    @property
    def asked(self) -> BatchJob:
        """The job as it was submitted."""
        return self.job if self.whole is None else self.whole.job

    def done(self, results: tuple[CellResult, ...]) -> Dispatched | None:
        """Takes its results; the end of the job that was submitted, if this is it."""
        whole = self.whole
        if whole is None:
            return Dispatched(self.job, BatchDone(results))
        whole.results |= {result.key: result for result in results}
        if len(whole.results) < len(whole.job.keys):
            return None
        ordered = tuple(whole.results[key] for key in whole.job.keys)
        return Dispatched(whole.job, BatchDone(ordered))


@dataclass
class Pieces:
    """A batch whose cells are tried alone."""

    job: BatchJob
    results: dict[str, CellResult] = field(default_factory=dict)


class Misfortunes:
    """Deaths that say nothing about a batch: of machines, of jobs that somebody cancelled."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._last = -MOMENT_S

    def over(self) -> None:
        """A batch came to its end."""
        self._in_a_row = 0

    def one_more(self, how: str) -> None:
        """Another one. Those of one moment, as when a machine takes all its workers with it, count once.

        Raises:
            RunError: they do not end.
        """
        now = time.monotonic()
        if now - self._last >= MOMENT_S:
            self._in_a_row += 1
            self._last = now
        if self._in_a_row > MISFORTUNES:
            raise RunError(
                f"workers are lost faster than they finish a batch ({how}). What is done is recorded; the same "
                "command goes on."
            )


class Aftermath(NamedTuple):
    """What follows from a death."""

    again: list[Task]  # to be run next, in this order
    told: Dispatched | None  # a job that has ended with it


def after_death(task: Task, how: str, what: str = "its worker process") -> Aftermath:
    """A process died while it ran a task: that is tried again, in pieces or given up.

    Args:
        task: what it was doing; `lost` says whether a GPU was lost.
        how: it died, for the reader.
        what: died.
    """
    task.tries_left -= 1
    if task.lost is not None:
        task.tries_left = min(task.tries_left, TRIES_LOST - 1)
    if task.tries_left:
        return Aftermath([task], None)
    if task.lost is not None:
        return Aftermath([], task.done(failed(task.job.keys, f"{task.lost} (also in a fresh process)")))
    if task.whole is None and len(task.job.keys) > 1:
        whole = Pieces(task.job)
        return Aftermath([Task(part, TRIES_ALONE, whole) for part in alone(task.job)], None)
    tries = TRIES if task.whole is None else TRIES_ALONE
    reason = f"{what} died {tries} times{' with this cell alone' if task.whole else ''}: {how}"
    return Aftermath([], task.done(failed(task.job.keys, reason)))
