"""One writer at a time: an OS lock beside the database that says who holds it.

The kernel drops the lock however its holder ends, so there is no stale lock to clean up and no heartbeat to tune.
"""

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import StoreError, suggested
from rnnprop_cli.files.reading import check_regular, parse_json, read_regular
from rnnprop_cli.naming import shell_line, shell_word
from rnnprop_cli.store.trouble import no_locks, storage_errors

_MOMENTS: Final = 10
_MOMENT_S: Final = 0.02
MOST_BYTES: Final = 4096  # of a lock file


@dataclass(frozen=True)
class Holder:
    """The process that writes."""

    pid: int
    command: str


def lock_path(database: Path) -> Path:
    """The lock file of a database. It stays when the lock is released: removing it would race with the next holder."""
    return database.with_name(database.name + ".lock")


@contextmanager
def writer_lock(database: Path) -> Iterator[None]:
    """Hold the lock of `database`, or refuse at once.

    Raises:
        StoreError: another process holds it (names its pid and command), or the folder cannot be written.
    """
    path = lock_path(database)
    with storage_errors(path):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
    try:
        try:
            check_regular(os.fstat(descriptor), path)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}, and the lock has that name. Move it away.") from None
        try:
            _take(descriptor, database, path)
        except OSError as error:
            raise no_locks(path, error.strerror or str(error)) from error
        with storage_errors(path):
            _write_holder(descriptor)
        try:
            yield
        finally:
            with suppress(OSError):  # a disk that fails must not hide why we end
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder of checkpoints, for two copies of a database name the same one.

    Raises:
        StoreError: another process holds it.
    """
    with storage_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{folder}: another process is writing these checkpoints, for a copy of this database perhaps. "
                "Wait until it ends, or move the copy to a folder of its own."
            ) from None
        except OSError as error:
            raise no_locks(folder, error.strerror or str(error)) from error
        yield
    finally:
        os.close(descriptor)


def _write_holder(descriptor: int) -> None:
    holder = {"pid": os.getpid(), "command": shell_line(*sys.argv)[:300]}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _take(descriptor: int, database: Path, path: Path) -> None:
    """Waits a moment for a holder without a name: it is about to write it, or only looks whether the lock is free."""
    for _ in range(_MOMENTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if holder := _read_holder(path):
                break
            time.sleep(_MOMENT_S)
    else:
        holder = None
    who = "another process" if holder is None else f"process {holder.pid} ({holder.command})"
    raise StoreError(
        f"{database}: {who} is writing here. Looking (report, runs, tui) works meanwhile. "
        f"{both_at_once(database)}"
    )


def both_at_once(database: Path) -> str:
    """How two commands can write at the same time: each to a database of its own, put together afterwards."""
    other, together = (database.with_stem(f"{database.stem}-{word}") for word in ("2", "all"))
    merge = suggested("db", "merge", str(database), str(other), "-o", str(together))
    return (
        "A database has one writer: for both at once give this command its own with "
        f"--db {shell_word(str(other))}, and put them together afterwards: {merge}"
    )


def find_holder(database: Path) -> Holder | None:
    """Who writes to `database` at this moment, None if nobody does. Its name is unknown for a moment at its start."""
    path = lock_path(database)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Shared: two that look do not see each other, and a writer that starts now waits for us.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read_holder(path)
    finally:
        os.close(descriptor)
    return None


def _read_holder(path: Path) -> Holder | None:
    try:
        holder = parse_json(read_regular(path, MOST_BYTES))
        return Holder(int(holder["pid"]), str(holder["command"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
