"""The folder through which a driver and its workers under SLURM speak, on a disk that all of them see.

    wanted                what every node must have
    jobs/ID-TRY           a batch that waits, ID being the hash of what it is
    claims/ID-TRY         which worker has taken it, made by whoever comes first
    events/ID-TRY.N       what happened to it, in order; the last one ends in .end
    weights/HASH          meta-params that batches name
    workers/TASK          a worker that is ready, or why its node was refused
    logs/TASK.log         what a worker printed

Files appear whole, by a rename, and hold their own hash. None is ever unpickled. Everything may be made again from the
database and the spec, so nothing is flushed to the disk: what a power cut damages is computed again.
"""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from rnnprop_cli.errors import IntegrityError, UsageError
from rnnprop_cli.execute.slurm_control import is_task
from rnnprop_cli.execute.wire import seal, unseal
from rnnprop_cli.files.reading import read_regular

MAX_BYTES: Final = 1 << 30
END: Final = ".end"
_ROOMS: Final = ("jobs", "claims", "events", "weights", "workers", "logs")


class EventFile(NamedTuple):
    """A message of a worker."""

    number: int
    last: bool
    path: Path


class Folder:
    """One benchmark's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wanted = root / "wanted"
        self.jobs, self.claims, self.events, self.weights, self.workers, self.logs = (
            root / name for name in _ROOMS
        )

    def make(self) -> None:
        """Makes it, for nobody but its owner: what lies in it is run."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.check_own()
        for name in _ROOMS:
            (self.root / name).mkdir(mode=0o700, exist_ok=True)

    def check_own(self) -> None:
        """Raises UsageError where somebody else could put batches in, which are run with our rights."""
        found = self.root.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise UsageError(
                f"{self.root}: is not a folder of yours; name another with folder = in [engine]."
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UsageError(
                f"{self.root}: others may write there, and what lies in it is run: chmod 700 it."
            )

    def write(self, path: Path, body: bytes) -> None:
        """Puts a sealed file there, whole."""
        temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
        try:
            temporary.write_bytes(seal(body))
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    def read(self, path: Path) -> bytes:
        """What was sealed.

        Raises:
            IntegrityError: it is damaged.
            FileNotFoundError: it is not there.
        """
        try:
            return unseal(read_regular(path, MAX_BYTES, follow=False), path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise IntegrityError(f"{path}: {error.strerror or error}") from error

    def claim(self, name: str, worker: str) -> bool:
        """Takes a batch for a worker; False if another one has it."""
        try:
            descriptor = os.open(self.claims / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        try:
            os.write(descriptor, f"{worker} {socket.gethostname()}\n".encode())
        finally:
            os.close(descriptor)
        return True

    def holders(self) -> dict[str, str]:
        """The worker of every batch that is taken; one that took it this very moment may not have said its name yet."""
        found = {}
        for path in names(self.claims):
            with suppress(OSError):
                worker, _, rest = path.read_text().partition(" ")
                if rest.endswith("\n") and is_task(worker):
                    found[path.name] = worker
        return found

    def messages(self) -> dict[str, list[EventFile]]:
        """What workers have sent, in order, by the name of the batch."""
        found: dict[str, list[EventFile]] = {}
        for path in names(self.events):
            name, _, number = path.name.removesuffix(END).rpartition(".")
            if number.isdecimal():
                found.setdefault(name, []).append(EventFile(int(number), path.name.endswith(END), path))
        for each in found.values():
            each.sort()
        return found

    def event(self, name: str, number: int, last: bool) -> Path:
        """Where a message goes."""
        return self.events / f"{name}.{number:06d}{END if last else ''}"

    def forget(self, batch_id: str) -> None:
        """Removes everything of a batch, of all tries."""
        for room in (self.jobs, self.claims, self.events):
            for path in room.glob(f"{batch_id}-*"):
                path.unlink(missing_ok=True)

    def log_end(self, task: str, most: int = 2000) -> str:
        """The last characters of what a worker printed."""
        path = self.logs / f"{task}.log"
        with suppress(OSError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most))
            return file.read(most).decode("utf-8", "replace").strip()
        return ""


def names(room: Path) -> Iterator[Path]:
    """Whole files of a room."""
    with suppress(FileNotFoundError), os.scandir(room) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                yield room / entry.name
