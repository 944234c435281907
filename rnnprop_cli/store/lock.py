"""One writer at a time: an OS lock beside the database that says who holds it.

The kernel drops the lock however its holder ends, so there is no stale lock to clean up and no heartbeat to tune.
"""

import fcntl
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnprop_cli.errors import StoreError
from rnnprop_cli.store.database import storage_errors


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
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(_refusal(database, path)) from None
        except OSError as error:
            raise StoreError(
                f"{path}: this file system cannot lock ({error.strerror}). Choose a local disk with --db."
            ) from error
        with storage_errors(path):
            _write_holder(descriptor)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _write_holder(descriptor: int) -> None:
    holder = {"pid": os.getpid(), "command": shlex.join(sys.argv)[:300]}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _refusal(database: Path, path: Path) -> str:
    for _ in range(10):  # the holder writes its name just after it got the lock
        try:
            holder = json.loads(path.read_text())
            who = f"process {int(holder['pid'])} ({holder['command']})"
            break
        except (OSError, ValueError, KeyError, TypeError):
            who = "another process"
            time.sleep(0.02)
    return (
        f"{database}: {who} is writing here. Wait until it ends, stop it, or use another database with --db. "
        "Looking (report, runs, tui) works meanwhile."
    )
