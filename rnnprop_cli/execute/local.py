"""The local engine: jobs in supervised worker processes on this machine.

Every slot is one spawned process that is replaced alone when it dies, whatever killed it. A pool from a library was
tried instead; one `kill -9` of a worker cost it most of what was queued. What becomes of the batch of a worker that
died, `attempts` says.
"""

import pickle
import signal
import subprocess
from collections import deque
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Final

from rnnprop_cli.errors import DeviceLostError, RunError
from rnnprop_cli.execute import worker
from rnnprop_cli.execute.attempts import Task, after_death
from rnnprop_cli.execute.bench import BatchDone, BatchJob, BatchProgress
from rnnprop_cli.execute.device import slot_devices
from rnnprop_cli.execute.dispatch import WINDOW_PER_SLOT, Dispatched
from rnnprop_cli.files.limits import TOO_MANY_OPEN, more_descriptors

FAILED_STARTS: Final = 3  # in a row: then no worker will ever start here
KILLED_STARTS: Final = 20  # in a row: somebody kills faster than we can start
SECONDS_PER_POLL: Final = 0.2


@dataclass
class _Slot:
    """A worker process and what it is doing."""

    number: int
    process: subprocess.Popen[bytes]
    socket: worker.Socket
    ready: bool = False
    task: Task | None = None


class LocalSlots:
    """Runs jobs in `slots` worker processes. See `Dispatcher`."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.window = WINDOW_PER_SLOT * slots
        self.restarts = 0  # workers that died over a job
        self._queue: deque[Task] = deque()
        self._running: list[_Slot] = []
        self._told: deque[Dispatched] = deque()
        self._failed_starts = 0

    def submit(self, job: BatchJob, lost: str | None = None) -> None:
        """See `Dispatcher`.

        Args:
            job: to run.
            lost: how a GPU was lost over it in another process, if one was: then it is tried once.
        """
        self._queue.append(Task.first(job, lost))

    def poll(self) -> Dispatched | None:
        """See `Dispatcher`.

        Raises:
            RunError: workers do not even start.
        """
        if not self._told:
            self._assign()
            self._receive(SECONDS_PER_POLL)
        return self._told.popleft() if self._told else None

    def finished(self) -> list[Dispatched]:
        """See `Dispatcher`."""
        while self._receive(0):
            continue
        done = [each for each in self._told if isinstance(each.event, BatchDone)]
        self._told.clear()
        return done

    def release(self, job: BatchJob) -> None:
        """See `Dispatcher`."""

    def close(self) -> None:
        """See `Dispatcher`. Workers keep nothing, so they are killed rather than asked."""
        for slot in self._running:
            slot.process.kill()
        for slot in self._running:
            slot.process.wait()
            slot.socket.close()
        self._running.clear()
        self._queue.clear()

    def _assign(self) -> None:
        """Gives every idle worker a task, and starts workers while there are tasks for them."""
        for slot in self._running:
            if self._queue and slot.ready and slot.task is None:
                self._give(slot)
        starting = sum(not slot.ready for slot in self._running)
        while len(self._running) < self.slots and len(self._queue) > starting:
            taken = {slot.number for slot in self._running}
            number = next(each for each in range(self.slots) if each not in taken)
            try:
                self._running.append(_Slot(number, *worker.start()))
            except OSError as error:  # too many open files or processes, no memory
                remedy = f"{more_descriptors()} " if error.errno in TOO_MANY_OPEN else ""
                raise RunError(
                    f"worker processes do not start ({error.strerror}). {remedy}--slots 1 works without them."
                ) from error
            starting += 1

    def _give(self, slot: _Slot) -> None:
        slot.task = self._queue.popleft()
        self._told.append(Dispatched(slot.task.asked, BatchProgress(0)))
        try:
            slot.socket.send_bytes(pickle.dumps(_placed(slot.task.job, slot.number)))
        except OSError:
            return  # it died while it was idle; `_receive` sees the end of its socket

    def _receive(self, timeout_s: float) -> bool:
        """Takes what the workers have sent within a moment; whether there was anything."""
        by_socket = {slot.socket: slot for slot in self._running}
        sent = wait(list(by_socket), timeout_s) if by_socket else []
        for socket in sent:
            assert isinstance(socket, worker.Socket)
            slot = by_socket[socket]
            try:
                message = socket.recv()
            except (EOFError, OSError):
                self._bury(slot)
                continue
            if message == worker.READY:
                slot.ready, self._failed_starts = True, 0
            elif isinstance(message, DeviceLostError):
                assert slot.task is not None
                slot.task.lost = str(message)
                self._bury(slot)
            elif isinstance(message, Exception):
                raise message
            elif slot.task is not None:
                self._tell(slot, message)
        return bool(sent)

    def _tell(self, slot: _Slot, event: BatchProgress | BatchDone) -> None:
        assert slot.task is not None
        task = slot.task
        if isinstance(event, BatchDone):
            slot.task = None
            if (told := task.done(event.results)) is not None:
                self._told.append(told)
        else:
            self._told.append(Dispatched(task.asked, event))

    def _bury(self, slot: _Slot) -> None:
        """A worker is dead: what it was doing is tried again, in pieces or given up."""
        slot.process.kill()  # it may live on without its socket
        status = slot.process.wait()
        slot.socket.close()
        self._running.remove(slot)
        if not slot.ready:
            self._failed_starts += 1
            if self._failed_starts >= (FAILED_STARTS if status >= 0 else KILLED_STARTS):
                raise RunError(
                    f"worker processes do not start ({_how(status)}); --slots 1 works without them"
                )
        task = slot.task
        if task is None:
            return
        self.restarts += 1
        again, told = after_death(task, _how(status))
        self._queue.extendleft(reversed(again))
        if told is not None:
            self._told.append(told)


def _placed(job: BatchJob, slot: int) -> BatchJob:
    """The job on the device of this slot: several GPUs are taken in turns."""
    devices = slot_devices(job.engine.device)
    return replace(job, engine=replace(job.engine, device=devices[slot % len(devices)]))


def _how(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name
    return f"killed by {name}" + (
        ", perhaps for want of memory (fewer --slots take less)" if name == "SIGKILL" else ""
    )
