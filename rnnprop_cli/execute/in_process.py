"""Runs jobs in this process, one at a time, for as long as this process can."""

from rnnprop_cli.errors import DeviceLostError
from rnnprop_cli.execute.bench import BatchDone, BatchEvents, BatchJob
from rnnprop_cli.execute.dispatch import Dispatched, Said, run_job
from rnnprop_cli.execute.local import LocalSlots


class InProcess:
    """Runs one job at a time in this process. See `Dispatcher`.

    A process that has lost its GPU can compute nothing more there: then a worker process takes over, the job on which
    it happened first.
    """

    window = 1

    def __init__(self) -> None:
        self._running: tuple[BatchJob, BatchEvents] | None = None
        self._worker: LocalSlots | None = None

    def submit(self, job: BatchJob) -> None:
        """See `Dispatcher`."""
        if self._worker is not None:
            self._worker.submit(job)
            return
        assert self._running is None, "one job at a time"
        self._running = job, run_job(job)

    def poll(self) -> Dispatched | Said | None:
        """See `Dispatcher`."""
        if self._worker is not None:
            return self._worker.poll()
        if self._running is None:
            return None
        job, events = self._running
        try:
            event = next(events)
        except DeviceLostError as error:
            self._running = None
            self._worker = LocalSlots(1)
            self._worker.submit(job, lost=str(error))
            return None
        if isinstance(event, BatchDone):
            self._running = None
        return Dispatched(job, event)

    def finished(self) -> list[Dispatched]:
        """See `Dispatcher`."""
        return [] if self._worker is None else self._worker.finished()

    def release(self, job: BatchJob) -> None:
        """See `Dispatcher`."""

    def close(self) -> None:
        """See `Dispatcher`."""
        if self._running is not None:
            self._running[1].close()
            self._running = None
        if self._worker is not None:
            self._worker.close()
