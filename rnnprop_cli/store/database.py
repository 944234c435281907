"""Opening the database.

A database is recognised by its application_id and never touched before it is: a file of another program, of a newer
version, damaged or empty is refused with `StoreError` and left as it is.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import StoreError
from rnnprop_cli.files.limits import owner
from rnnprop_cli.files.reading import check_regular
from rnnprop_cli.files.writing import usual_mode
from rnnprop_cli.store.trouble import (
    BUSY_TIMEOUT_S,
    HOT_JOURNAL,
    REPLACE,
    SIDE_FILES,
    no_locks,
    storage_errors,
    why_unlockable,
)

APPLICATION_ID: Final = 0x524E4E50  # "RNNP"
_SMALLEST_PAGE: Final = 512


def check_file(path: Path, newest_version: int) -> None:
    """Refuse what is not a database of ours, by its first page; changes nothing and leaves no file beside it.

    Only SQLite may open the file: POSIX drops every lock that a process has on a file when it closes any descriptor of
    that file, and a connection without its lock loses its write-ahead log to the next tool that closes the database.

    Raises:
        StoreError: absent, a folder, empty, damaged, of another program, or of a newer version.
    """
    with storage_errors(path):
        if not path.exists():
            raise StoreError(
                f"{path}: there is no database. `rnnprop bench --spec quickstart` makes one, as every bench and train "
                "does; --db PATH (before the command) names another."
            )
        if not path.is_file():
            raise StoreError(f"{path}: is not a file. Name the database itself with --db.")
        _check_side_files(path)
        wal = Path(f"{path}-wal")
        has_wal = (
            wal.exists() and wal.stat().st_size > 0
        )  # before the size below: a checkpoint may be going on
        size = path.stat().st_size
    if not size:
        raise StoreError(f"{path}: is empty (0 bytes), no database. Delete it, or name another with --db.")
    if size < _SMALLEST_PAGE:
        raise StoreError(f"{path}: is too short for a database ({size} bytes). {REPLACE}")
    try:
        application_id, version, page_bytes = _first_page(path)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB":
            raise StoreError(
                f"{path}: is not a SQLite database. Name another with --db, or move the file away."
            ) from error
        if has_wal:
            return  # caught amid a checkpoint; a connection that reads the log too will tell
        with storage_errors(path):
            raise
    if application_id != APPLICATION_ID:
        raise StoreError(f"{path}: is a database of another program. Name another with --db.")
    _check_version(path, version, newest_version)
    # SQLite sees for itself whether whole pages are absent, but takes half a page at the end for a whole one.
    if not has_wal and size % page_bytes:
        raise StoreError(f"{path}: the database is cut off after {size:,} bytes. {REPLACE}")


def _check_side_files(path: Path) -> None:
    """SQLite would wait for ever for a pipe of that name, follow a link to anywhere, and take in whatever somebody put
    there who may write into the folder, but not into the database."""
    own = path.stat()
    shared = bool(own.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    for side in SIDE_FILES:
        beside = Path(f"{path}{side}")
        try:
            found = beside.lstat()
            check_regular(found, beside)
            if not shared and found.st_uid not in (own.st_uid, os.geteuid(), 0):
                raise StoreError(
                    f"{beside}: belongs to {owner(beside)}, who may not write the database, so it is not taken in. "
                    "Where only the owner of one was changed, give both the same; else have it removed."
                )
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(
                f"{beside}: {error.strerror}, and SQLite keeps a file of that name. Move it away."
            ) from None


def _first_page(path: Path) -> tuple[int, int, int]:
    """Application id, schema version and page size as the file itself has them, without locks and without its log."""
    uri = path.resolve().as_uri() + "?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        names = ("application_id", "user_version", "page_size")
        first, second, third = (int(connection.execute(f"PRAGMA {n}").fetchone()[0]) for n in names)
    return first, second, third


def _check_version(path: Path, version: int, newest_version: int) -> None:
    if version > newest_version:
        raise StoreError(
            f"{path}: was written by a newer rnnprop (schema {version}, this one knows {newest_version}). "
            "Upgrade rnnprop, or name another database with --db."
        )


@dataclass(frozen=True)
class Opened:
    """A connection that cannot write."""

    path: Path
    connection: sqlite3.Connection
    version: int  # of the schema that it found
    _still: object = (
        None  # how the files looked that are read without locks; None where SQLite sees every change
    )

    def is_outdated(self) -> bool:
        """Whether somebody has begun to write to what is read as if nobody ever did."""
        return self._still is not None and self._still != _look(self.path)

    def check_current(self) -> None:
        """Raises StoreError where what was read since the opening may be half old and half new."""
        if self.is_outdated():
            raise StoreError(f"{self.path}: a run began to write while this was read. Do the same again.")


def open_reader(path: Path, newest_version: int) -> Opened:
    """A connection that cannot write. The caller closes it.

    Raises:
        StoreError: as `check_file`, or the database cannot be read.
    """
    check_file(path, newest_version)
    with storage_errors(path):
        still = _still(path)
        if still is None and (reason := why_unlockable(path)):
            raise no_locks(path, reason)  # SQLite would wait for somebody who holds it
        connection = _first_read(reading_uri(path))
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        try:
            _check_version(path, version, newest_version)
        except StoreError:
            connection.close()
            raise
    return Opened(path, connection, version, still)


def _look(path: Path) -> tuple[int, int, int] | None:
    """What shows that nobody wrote to a database; None where somebody may be writing, or was killed amid it."""
    for side in SIDE_FILES:
        beside = Path(f"{path}{side}")
        if beside.exists() and (side == "-shm" or beside.stat().st_size):
            return None
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def reading_uri(path: Path) -> str:
    """How SQLite is to open a database that is only read.

    SQLite would make a -wal and a -shm file if it could. Of a user who may not write the database they would keep out
    those who may; and on a read-only disk it cannot.
    """
    uri = path.resolve().as_uri() + "?mode=ro"
    return uri if _still(path) is None else uri + "&immutable=1"


def _still(path: Path) -> tuple[int, int, int] | None:
    """As `_look`, for one who may not write there; None for all others."""
    return None if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else _look(path)


def _first_read(uri: str) -> sqlite3.Connection:
    # One thread at a time; a TUI worker may be a different one each time.
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # a truncated file fails here
    except BaseException:
        connection.close()
        raise
    return connection


def open_writer(path: Path, newest_version: int) -> sqlite3.Connection:
    """A connection to an existing database that may write. The caller holds the lock.

    Raises:
        StoreError: as `open_reader`, or WAL is not possible where the database lies.
    """
    look_before_writing(path, newest_version)
    with storage_errors(path):
        connection = sqlite3.connect(
            path.resolve().as_uri() + "?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
        )
        try:
            _check_version(path, connection.execute("PRAGMA user_version").fetchone()[0], newest_version)
            _set_pragmas(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def look_before_writing(path: Path, newest_version: int) -> int | None:
    """Refuse what a writer must not touch, before a writable opening replays a log or a journal.

    Returns:
        The schema version; None where only a writer can tell, because the last one was killed amid a transaction.

    Raises:
        StoreError: as `open_reader`.
    """
    with storage_errors(path):
        if path.is_file() and path.stat().st_nlink > 1:
            raise StoreError(
                f"{path}: has a second name (a hard link), and each name would have a log and a lock of its own. "
                "Copy it with `rnnprop db backup` and use the copy, or remove the other name."
            )
    try:
        opened = open_reader(path, newest_version)
    except StoreError as error:
        if getattr(error.__cause__, "sqlite_errorname", "") != HOT_JOURNAL:
            raise
        return None  # its first page has been checked
    opened.connection.close()
    return opened.version


def _set_pragmas(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA mmap_size = 0")  # an I/O error on mapped memory would kill the process
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(f"{path}: the file system allows no write-ahead log. Choose a local disk with --db.")


@contextmanager
def creating(path: Path) -> Iterator[sqlite3.Connection]:
    """Make a database at `path`: give a connection to fill, then move the finished file into place.

    A crash in between leaves no half-made database behind, only `<name>.new`, which the next attempt replaces.
    The caller holds the lock and has seen that `path` does not exist.
    """
    for side in ("-wal", "-journal"):
        if (left := Path(f"{path}{side}")).exists() and left.stat().st_size:
            # SQLite would replay it into the new file.
            raise StoreError(
                f"{left}: belongs to a database that is gone. Put {path.name} back beside it, or delete it."
            )
    new = path.with_name(path.name + ".new")
    with storage_errors(path):
        for side in SIDE_FILES:  # what readers of a database that is gone left: an empty log and its index
            Path(f"{path}{side}").unlink(missing_ok=True)
        _remove(new)
        try:
            # As a URI, so that others can be attached that are only read; an absolute path is taken for what it is.
            with closing(sqlite3.connect(new.absolute(), isolation_level=None, uri=True)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                # The write-ahead log comes last and stays empty: closing would have to copy it into the file, and does
                # not say so when a full disk prevents that.
                yield connection
                _set_pragmas(connection, new)
            new.chmod(usual_mode())  # SQLite lets a group that shares a folder write only if this file does
            new.replace(path)
            sync_folder(path.parent)
        except BaseException:
            _remove(new)
            raise


def _remove(path: Path) -> None:
    for each in (path, *(Path(f"{path}{side}") for side in SIDE_FILES)):
        each.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
