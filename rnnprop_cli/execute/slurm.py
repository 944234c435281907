"""The SLURM engine: batches as files in a folder that all nodes see, workers as array jobs that take them.

A worker stays for as long as there are batches, so that a thousand small ones wait in the queue once, and not a
thousand times. Batches are named by what they are. So a driver that was killed finds its workers again by the name of
their job, and what they have done since by the names of the files; nothing is asked for twice.

Not through submitit: it hands over functions and results as pickles, and whoever can write a file on the shared disk
would run code as the user. These files are JSON and safetensors behind their hashes.
"""

import shutil
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import IntegrityError, RunError, StoreError, UsageError
from rnnprop_cli.execute import slurm_control
from rnnprop_cli.execute.attempts import Misfortunes, Task, after_death
from rnnprop_cli.execute.bench import BatchDone, BatchJob, BatchProgress
from rnnprop_cli.execute.dispatch import WINDOW_PER_SLOT, Dispatched, Said
from rnnprop_cli.execute.nodes import Wanted
from rnnprop_cli.execute.slurm_folder import Folder, names
from rnnprop_cli.execute.slurm_worker import READY
from rnnprop_cli.execute.wire import Ended, decode_events, encode_job, encode_weights, sha256
from rnnprop_cli.files.writing import cannot_write, free_bytes

SECONDS_PER_POLL: Final = 0.1
SECONDS_PER_LOOK: Final = 2.0  # at the queue
GRACE_S: Final = 3.0  # that a shared disk may lag behind the queue
FAILED_STARTS: Final = 3  # in a row: then no worker will ever start
KILLED_STARTS: Final = 20  # in a row: somebody ends them faster than we can start
SECONDS_OF_SILENCE: Final = 600  # of SLURM, before it is given up
LITTLE_ROOM: Final = 1 << 20
_ID_LENGTH: Final = 20


@dataclass(eq=False)
class _Try:
    """A batch that is in the folder."""

    task: Task
    batch_id: str
    number: int
    read: int = 0  # messages
    holder: str | None = None  # the worker that took it
    gone_since: float | None = None  # when that was first seen to be no more

    @property
    def name(self) -> str:
        return f"{self.batch_id}-{self.number}"


class SlurmJobs:
    """Runs batches in up to `slots` workers under SLURM. See `Dispatcher`."""

    def __init__(
        self, name: str, folder: Path, wanted: Wanted, slots: int, cores: int, options: dict[str, str]
    ) -> None:
        self.window = WINDOW_PER_SLOT * slots
        self.restarts = 0  # workers that died over a batch
        self.repeated = 0  # results that came a second time
        self._name, self._slots, self._cores, self._options = name, slots, cores, options
        self._folder = Folder(folder)
        self._told: deque[Dispatched | Said] = deque()
        self._tries: dict[str, _Try] = {}
        self._submitted: set[str] = set()  # ids of all that was ever run for us
        self._unreleased: dict[tuple[str, ...], list[str]] = {}  # ids of what a submitted job was run as
        self._looked = -SECONDS_PER_LOOK
        self._heard = time.monotonic()  # SLURM
        self._workers: dict[str, str] = {}  # task -> what it said at its start
        self._refusals: list[str] = []  # of nodes, each with why
        self._ours: set[str] = set()  # tasks that were submitted and have said nothing yet
        self._failed_starts = 0
        self._misfortunes = Misfortunes()
        self._served: Counter[str] = Counter()  # batches that a worker has finished
        self._begin(wanted)

    def _begin(self, wanted: Wanted) -> None:
        """Takes over what a driver before us has left."""
        folder = self._folder
        with _room(self._folder.root):
            folder.make()
            folder.write(folder.wanted, wanted.as_json().encode())
        claimed, sent = {path.name for path in names(folder.claims)}, set(folder.messages())
        for path in names(folder.jobs):
            if path.name not in claimed:
                path.unlink(missing_ok=True)  # asked for again if it is still wanted
        self._left: dict[str, int] = {}  # the newest try that a worker has, or had, of each batch
        for name in claimed | sent:
            batch_id, _, number = name.rpartition("-")
            if number.isdecimal():
                self._left[batch_id] = max(int(number), self._left.get(batch_id, 0))
        alive = slurm_control.live(self._name)
        if alive is None:
            raise RunError(f"SLURM does not answer: {slurm_control.reached()[1]}.")
        if alive:
            self._told.append(
                Said(f"{len(alive)} workers of before are still there (SLURM job {self._name})")
            )

    def submit(self, job: BatchJob) -> None:
        """See `Dispatcher`."""
        self._put(Task.first(job))

    def _put(self, task: Task) -> None:
        folder = self._folder
        content = encode_job(task.job)
        batch_id = sha256(content)[:_ID_LENGTH]
        ids = self._unreleased.setdefault(task.asked.keys, [])
        if batch_id in ids or batch_id not in self._left:
            number = 0 if batch_id not in self._left else self._left[batch_id] + 1
            with _room(self._folder.root):
                if task.job.weights is not None:
                    weights = encode_weights(task.job.weights)
                    path = folder.weights / sha256(weights)
                    if not path.exists():
                        folder.write(path, weights)
                folder.write(folder.jobs / f"{batch_id}-{number}", content)
        else:
            number = self._left[batch_id]  # of a driver before us
        self._left[batch_id] = number
        self._submitted.add(batch_id)
        if batch_id not in ids:
            ids.append(batch_id)
        found = _Try(task, batch_id, number)
        self._tries[found.name] = found

    def poll(self) -> Dispatched | Said | None:
        """See `Dispatcher`.

        Raises:
            RunError: workers do not start, or SLURM does not answer.
            UsageError: SLURM does not take the job.
            StoreError: the folder is full.
        """
        if not self._told:
            self._receive()
        if not self._told and time.monotonic() - self._looked > SECONDS_PER_LOOK:
            self._look()
            self._looked = time.monotonic()
        if not self._told:
            time.sleep(SECONDS_PER_POLL)
        return self._told.popleft() if self._told else None

    def finished(self) -> list[Dispatched]:
        """See `Dispatcher`."""
        self._receive()
        done = [
            each for each in self._told if isinstance(each, Dispatched) and isinstance(each.event, BatchDone)
        ]
        self._told.clear()
        return done

    def release(self, job: BatchJob) -> None:
        """See `Dispatcher`."""
        for batch_id in self._unreleased.pop(job.keys, ()):
            self._folder.forget(batch_id)

    def close(self) -> None:
        """See `Dispatcher`. Results that nobody has recorded stay for the next driver."""
        slurm_control.cancel(self._name)
        folder = self._folder
        for path in names(folder.jobs):
            path.unlink(missing_ok=True)
        results = any(message.last for each in folder.messages().values() for message in each)
        if not (self._unreleased and results):
            shutil.rmtree(folder.root, ignore_errors=True)
            with suppress(OSError):
                folder.root.parent.rmdir()  # if this was the last one
        self._tries.clear()

    def _receive(self) -> None:
        """Takes what the workers have sent."""
        for name, messages in self._folder.messages().items():
            tried = self._tries.get(name)
            if tried is None:
                self._late(name, [message.path for message in messages])
                continue
            for message in messages:
                if message.number != tried.read:
                    continue  # read before, or one before it is not visible here yet
                tried.read += 1
                try:
                    events = decode_events(self._folder.read(message.path))
                except IntegrityError as error:
                    self._die(tried, str(error))
                    break
                for event in events:
                    self._tell(tried, event)

    def _late(self, name: str, paths: list[Path]) -> None:
        """Messages of a try that was given up, or of a batch that is done."""
        if name.rpartition("-")[0] in self._submitted:
            self.repeated += any(path.name.endswith(".end") for path in paths)
            for path in paths:
                path.unlink(missing_ok=True)

    def _tell(self, tried: _Try, event: BatchProgress | BatchDone | Ended) -> None:
        if isinstance(event, BatchProgress):
            self._told.append(Dispatched(tried.task.asked, event))
            return
        if isinstance(event, Ended):
            if not event.lost_device:
                raise event.error()
            tried.task.lost = event.text
            self._die(tried, event.text)
            return
        del self._tries[tried.name]
        self._misfortunes.over()
        if tried.holder is not None:
            self._served[tried.holder] += 1
        if (told := tried.task.done(event.results)) is not None:
            self._told.append(told)

    def _look(self) -> None:
        """Asks SLURM who is there, buries who is not, and starts workers while there are batches for them."""
        alive = slurm_control.live(self._name)
        if alive is None:
            if time.monotonic() - self._heard > SECONDS_OF_SILENCE:
                raise RunError(
                    f"SLURM has not answered for {SECONDS_OF_SILENCE // 60} minutes. What is done is recorded; the "
                    "same command goes on when it answers again."
                )
            return
        self._heard = time.monotonic()
        self._greet()
        holders = self._folder.holders()
        for tried in list(self._tries.values()):
            if tried.holder is None and tried.name in holders:
                tried.holder = holders[tried.name]
                if not tried.read:
                    self._told.append(Dispatched(tried.task.asked, BatchProgress(0)))
            if tried.holder is not None and tried.holder not in alive:
                self._miss(tried)
        for task in self._ours - alive:
            self._never_started(task)
        self._ours &= alive
        absent = min(self._slots, len(self._tries)) - len(alive)
        if absent > 0:
            self._ours |= set(self._start(absent))

    def _start(self, workers: int) -> list[str]:
        folder = self._folder
        try:
            return slurm_control.submit(
                self._name, workers, self._cores, self._options, folder.logs, folder.root
            )
        except UsageError as error:
            if not self._refusals:
                raise
            raise RunError(
                f"SLURM has no node left that has what the driver has ({error}); refused: "
                + "; ".join(self._refusals)
            ) from error

    def _greet(self) -> None:
        """Reads what workers said at their start."""
        for path in names(self._folder.workers):
            if path.name in self._workers:
                continue
            node, _, said = self._folder.read(path).decode("utf-8", "replace").partition("\n")
            self._workers[path.name] = said
            self._ours.discard(path.name)
            if said == READY:
                self._failed_starts = 0
                continue
            excluded = [each for each in (self._options.get("exclude"), node) if each]
            self._options["exclude"] = ",".join(dict.fromkeys(excluded))
            if f"{node}: {said}" not in self._refusals:
                self._refusals.append(f"{node}: {said}")
                self._told.append(Said(f"node {node} computes nothing here: {said}"))

    def _miss(self, tried: _Try) -> None:
        """The worker that took a batch is no more; its last message may still be on its way."""
        now = time.monotonic()
        if tried.gone_since is None:
            tried.gone_since = now
        elif now - tried.gone_since > GRACE_S:
            self._receive()
            if tried.name in self._tries:
                assert tried.holder is not None
                self._bury(tried, tried.holder)

    def _bury(self, tried: _Try, holder: str) -> None:
        if free_bytes(self._folder.root) < LITTLE_ROOM:
            raise StoreError(
                f"{self._folder.root}: the disk is full, so that workers cannot leave their results. Make room; the "
                "same command goes on."
            )
        how = slurm_control.ended(holder)
        innocent = how.innocent or (how.state == "TIMEOUT" and self._served[holder] > 0)
        if innocent:
            self._misfortunes.one_more(f"SLURM says {how.state}")
            del self._tries[tried.name]
            self._put(tried.task)
            return
        self._die(tried, self._words(holder, how))

    def _die(self, tried: _Try, how: str) -> None:
        """A worker died over a batch, or with it."""
        del self._tries[tried.name]
        self.restarts += 1
        again, told = after_death(tried.task, how, "its SLURM job")
        for task in again:
            self._put(task)
        if told is not None:
            self._told.append(told)

    def _never_started(self, task: str) -> None:
        """A task ended before it had said a word."""
        how = slurm_control.ended(task)
        self._failed_starts += 1
        if self._failed_starts >= (KILLED_STARTS if how.by_others else FAILED_STARTS):
            raise RunError(f"workers under SLURM do not start: {self._words(task, how)}")

    def _words(self, task: str, how: slurm_control.TaskState) -> str:
        code = f", exit code {how.exit_code}" if how.exit_code not in ("", "0:0") else ""
        log = self._folder.log_end(task)
        return f"job {task}: {how.state}{code}" + (f"; the end of its log:\n{log}" if log else "")


@contextmanager
def _room(root: Path) -> Iterator[None]:
    """What cannot be written is told with the bytes that are free."""
    try:
        yield
    except OSError as error:
        raise cannot_write(root, error) from error
