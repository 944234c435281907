"""What SQLite and the file system complain about, as errors that say what to do."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import StoreError
from rnnprop_cli.files.limits import (
    TOO_MANY_OPEN,
    few_descriptors,
    larger_files,
    more_descriptors,
    owner,
    why_no_locks,
)
from rnnprop_cli.files.writing import free_bytes

BUSY_TIMEOUT_S: Final = 30.0
REPLACE: Final = "Put a backup in its place, or move the file away to start afresh."
HOT_JOURNAL: Final = "SQLITE_READONLY_ROLLBACK"
SIDE_FILES: Final = ("-wal", "-shm", "-journal")
_LOCKS: Final = (
    "SQLITE_IOERR_LOCK",
    "SQLITE_IOERR_RDLOCK",
    "SQLITE_IOERR_CHECKRESERVEDLOCK",
    "SQLITE_IOERR_SHMLOCK",
)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise `StoreError` naming `path` and the remedy for whatever SQLite or the file system complains about."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "") or ""
        if (code.startswith("SQLITE_BUSY") or code in _LOCKS) and (reason := why_unlockable(path)):
            raise no_locks(path, reason) from error
        raise StoreError(f"{path}: {error}. {_remedy(path, code)}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"{error.filename or path}: {reason}. {_remedy_of_os(path, error)}") from error


def no_locks(path: Path, reason: str) -> StoreError:
    """What to say where files cannot be locked."""
    return StoreError(f"{path}: this file system cannot lock ({reason}). Choose a local disk with --db.")


def why_unlockable(database: Path) -> str | None:
    """Why nothing can be locked beside a database; None if that works."""
    beside = Path(f"{database}.lock")
    return why_no_locks(beside if beside.is_file() else database.absolute().parent)


def _remedy(path: Path, code: str) -> str:
    if code.startswith("SQLITE_FULL"):
        return _make_room(path)
    if code == HOT_JOURNAL:
        return "Whoever wrote last was killed amid it; the next run repairs that, and so does `rnnprop db migrate`."
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"Another program held the database for {BUSY_TIMEOUT_S:g} s; close it and try again."
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"The database is damaged; `rnnprop db check` may say where. {REPLACE}"
    if code.startswith("SQLITE_CANTOPEN") and few_descriptors():
        return more_descriptors()
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return _permission(path)
    if code.startswith("SQLITE_IOERR"):
        return larger_files() or (
            f"The disk reported an error ({free_bytes(path):,} bytes are free). What was recorded before is kept: "
            "check the disk, and your quota on it, and run the same command again."
        )
    return "What was recorded before is kept."


def _remedy_of_os(path: Path, error: OSError) -> str:
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _make_room(path)
    if error.errno == errno.EFBIG:
        return larger_files() or _make_room(path)
    if error.errno in TOO_MANY_OPEN:
        return more_descriptors()
    if error.errno in (errno.EACCES, errno.EPERM):
        return _permission(named)
    return "Choose another place with --db."


def _permission(path: Path) -> str:
    """What to do where we may not write: whose the first thing is that stands in the way."""
    for each in (*(Path(f"{path}{side}") for side in SIDE_FILES), path, path.absolute().parent):
        other = owner(each) if not os.access(each, os.W_OK) else None
        if other is None:
            continue
        if each.name.endswith(SIDE_FILES):
            # Versions before left them where another user had only looked; empty ones hold nothing.
            return (
                f"{each} belongs to {other}: have it removed if it is empty and nobody has the database open."
            )
        return (
            f"{each} belongs to {other}: ask for the right to write there, or choose another place with --db."
        )
    return "Check the permissions of the file and its folder, or choose another place with --db."


def _make_room(path: Path) -> str:
    return (
        f"{free_bytes(path):,} bytes are free on that disk. What was recorded before is kept: "
        "make room and run the same command again."
    )
