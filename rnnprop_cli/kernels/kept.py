"""Folders of compiled kernels: what is read from them is verified, what is written to them is whole.

A file is used if its content is what its name says. One from the cache must also be nobody else's work: owned by this
user (or root), a regular file, not writable by others, in a folder of which the same holds. Everything is reached
through the open folder, so it does not matter who could rename the folders above it. Access lists need no look of their
own: whomever one lets write shows in the group's bits of the mode.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.recipe import file_name, is_named

CACHE_DIR_VARIABLE: Final = "RNNPROP_CACHE_DIR"
LARGEST_BYTES: Final = 64 << 20  # a kernel has some hundred thousand
ROOM_BYTES: Final = 4 << 20  # what must be free before anything is compiled
STALE_S: Final = 3600  # an unfinished file of this age belongs to nobody
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_LOCK: Final = "lock"
SECONDS_PER_POLL: Final = 0.1


class KeptKernel(NamedTuple):
    """A file and its content, which is what the file's name says."""

    path: Path
    content: bytes


def read_kernels(folder: Path, stem: str, *, ours: bool) -> Iterator[KeptKernel | str]:
    """The sound files of a recipe, and what is wrong with the others, one line each.

    Args:
        folder: where to look; nothing is found where it is not there.
        stem: of the recipe.
        ours: whether folder and files must belong to this user.

    Raises:
        DeviceError: the folder may hold other people's files.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DeviceError(f"{folder} cannot be read ({error.strerror})") from error
    try:
        if ours:
            _check_folder(folder, descriptor)
        for name in _names(descriptor):
            if is_named(name, stem):
                found = _read(descriptor, name, ours)
                if isinstance(found, bytes) and file_name(stem, found) != name:
                    found = "is damaged (its SHA-256 is not the one in its name)"
                path = folder / name
                yield f"{path} {found}" if isinstance(found, str) else KeptKernel(path, found)
    finally:
        os.close(descriptor)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def _read(folder: int, name: str, ours: bool) -> bytes | str:
    """The file's content, or why it is not to be used."""
    flags = os.O_RDONLY | os.O_NONBLOCK | (os.O_NOFOLLOW if ours else 0)  # a pipe must not be waited for
    try:
        with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST_BYTES:
                return "is not a regular file of a sane size"
            if ours and (problem := _foreign(about)):
                return problem
            return file.read(LARGEST_BYTES)
    except OSError as error:
        return "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"


def _foreign(about: os.stat_result) -> str | None:
    """Why what is described may be somebody else's work, or None."""
    if about.st_uid not in (os.geteuid(), 0):
        return f"belongs to user {about.st_uid}, not to you ({os.geteuid()})"
    if about.st_mode & _OTHERS_WRITE:
        return f"can be written by others (mode {stat.S_IMODE(about.st_mode):o})"
    return None


def _check_folder(folder: Path, descriptor: int) -> None:
    problem = _foreign(os.fstat(descriptor))
    if problem:
        raise DeviceError(
            f"no fast CPU kernel is loaded from {folder}, which {problem}; make it yours alone (chmod 700), or set "
            f"{CACHE_DIR_VARIABLE} to another folder"
        )


class KernelFolder:
    """The user's folder of compiled kernels, open for writing by one process at a time.

    Args:
        folder: made, with access for this user only, if it is not there.

    Raises:
        DeviceError: it cannot be made, is not trusted or has no room.
        OSError: it cannot be used for another reason.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        self._lock: BinaryIO | None = None
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _check_folder(folder, self._descriptor)
            free = os.fstatvfs(self._descriptor)
            if free.f_bavail * free.f_frsize < ROOM_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets the folder go, and its lock."""
        if self._lock is not None:
            self._lock.close()
        os.close(self._descriptor)

    def lock(self, seconds: float, waiting: Callable[[float], None]) -> None:
        """Waits for the folder's lock until it is ours, cannot be had or `seconds` have passed.

        Only work is saved by it: without it two processes would compile the same, and each file is still whole.

        Args:
            seconds: to wait at most.
            waiting: told again and again how many seconds it has been.

        Raises:
            OSError: nothing can be written here.
        """
        started = time.monotonic()
        self._lock = os.fdopen(self._open(_LOCK, os.O_RDWR | os.O_CREAT), "rb")  # held until `close`
        while (waited := time.monotonic() - started) < seconds:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                waiting(waited)
                time.sleep(SECONDS_PER_POLL)
            except OSError:  # a file system that cannot lock
                return

    def read_text(self, name: str) -> str:
        """A small file of this folder; empty where it is not there or not ours."""
        found = _read(self._descriptor, name, ours=True)
        return "" if isinstance(found, str) else found.decode(errors="replace")

    def write(self, name: str, content: bytes) -> None:
        """Writes a file that is on the disk as a whole under its name, or not at all.

        Raises:
            OSError: it cannot be written; nothing is left of it.
        """
        self._remove_stale()
        temporary = f".{secrets.token_hex(8)}.tmp"
        try:
            with os.fdopen(self._open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self._descriptor)
            raise
        with contextlib.suppress(OSError):  # not every file system can, and the file is whole in any case
            os.fsync(self._descriptor)

    def _open(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=self._descriptor)

    def _remove_stale(self) -> None:
        """Unfinished files of processes that were killed."""
        for name in _names(self._descriptor):
            if name.startswith(".") and name.endswith(".tmp"):
                with contextlib.suppress(OSError):
                    about = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
                    if time.time() - about.st_mtime > STALE_S:
                        os.unlink(name, dir_fd=self._descriptor)
