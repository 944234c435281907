"""Where a database lies while a run writes to it, and what becomes of the results when somebody takes it away.

The writer's connection holds the file itself, whatever becomes of its name. So a database that was moved is still
written to, and one that was deleted is still whole: all of it is copied to a new file before the run ends. Only one
that another was copied over, as `cp` does, is gone: then nothing more is written, and the other one stays whole.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from rnnprop_cli.errors import StoreError, suggested
from rnnprop_cli.store.trouble import storage_errors


def prepare_folder(path: Path) -> Path:
    """The database's real path, its folder made.

    Raises:
        StoreError: the folder cannot be made.
    """
    try:
        place = path.expanduser().resolve()
    except (RuntimeError, ValueError) as error:  # a loop of links, an unknown user's home, a zero byte
        raise StoreError(f"{path}: cannot be a database: {error}. Choose another place with --db.") from None
    with storage_errors(path):
        place.parent.mkdir(parents=True, exist_ok=True)
    return place


class Place:
    """The name under which a database was opened, and the file that it had then."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._file = identity(path)
        self._descriptor = descriptor
        self._rescued: Path | None = None
        self._looked: tuple[int, int] | None = (
            None  # size and time of the file when its content was looked at
        )
        self._guard: sqlite3.Connection | None = None

    @classmethod
    @contextmanager
    def watch(cls, path: Path) -> Iterator[Self]:
        """For as long as somebody writes there."""
        # Opened as a name only (O_PATH): closing any other descriptor of it would drop SQLite's locks. Where the
        # system has no such thing, a moved file is taken for a deleted one.
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC) if hasattr(os, "O_PATH") else None
        try:
            place = cls(path, descriptor)
            yield place
        finally:
            if place._guard is not None:
                place._guard.close()
            if descriptor is not None:
                os.close(descriptor)

    @property
    def lost(self) -> bool:
        """Whether its name is another file's by now, or nobody's."""
        return identity(self.path) != self._file

    def check_content(self, experiment: tuple[int, str] | None) -> None:
        """Whether the file is still the one that was written; asked of the file itself when it has changed.

        Args:
            experiment: id and hash of the spec of one that was recorded; None as long as there is none.

        Raises:
            StoreError: another database was copied over it. What we had of it is abandoned.
        """
        found = self.path.stat()
        state = found.st_size, found.st_mtime_ns
        if state == self._looked or experiment is None:
            return
        first = self._looked is None  # the log may hold what the file has not got yet
        try:
            rows = _read_file(self.path, experiment[0])
        except sqlite3.DatabaseError:  # amid somebody's checkpoint: the next time will tell
            return
        self._looked = state
        if first or rows == [experiment]:
            return
        self._abandon()
        raise StoreError(
            f"{self.path}: another database was copied over it while this was running. What was recorded here since "
            "is lost; what was put in its place is untouched. Run the same command again."
        )

    def _abandon(self) -> None:
        """Keep our log from being written into a file that it does not belong to, by us or by whoever opens it next."""
        # A connection that only reads and closes last keeps the other one from doing so when it closes.
        self._guard = sqlite3.connect(self.path.as_uri() + "?mode=ro", uri=True)
        with suppress(sqlite3.DatabaseError):  # it reads two databases mixed
            self._guard.execute("SELECT count(*) FROM sqlite_master").fetchone()
        for side in ("-wal", "-shm"):
            Path(f"{self.path}{side}").unlink(missing_ok=True)

    def error(self, connection: sqlite3.Connection) -> StoreError:
        """What to say of a lost database, after the last results were written to it. Copies one that was deleted."""
        moved = self._moved_to()
        if moved is not None:
            return StoreError(
                f"{self.path}: was moved or replaced while this was running; what was computed until now is recorded "
                f"in {moved}. Put it back, or name its new place with --db, and run the same command again."
            )
        try:
            self._rescued = self._rescued or self._copy(connection)
        except StoreError as error:
            return StoreError(
                f"{self.path}: was deleted or replaced while this was running, and what it held cannot be kept: {error}"
            )
        if self.path.exists():
            how = (
                f"`{suggested('--db', self.path, 'db', 'merge', self._rescued)}` adds it to what is there now"
            )
        else:
            how = "Move it to where the database was"
        return StoreError(
            f"{self.path}: was deleted or replaced while this was running. All that was recorded and what was computed "
            f"since is in {self._rescued}. {how}; then run the same command again."
        )

    def _moved_to(self) -> Path | None:
        """Its new name; None if it has none any more, or none that can be told."""
        if self._descriptor is None or not os.fstat(self._descriptor).st_nlink:
            return None
        try:
            found = Path(f"/proc/self/fd/{self._descriptor}").readlink()
        except OSError:
            return None
        return found if identity(found) == self._file else None

    def _copy(self, connection: sqlite3.Connection) -> Path:
        """All of the database in a new file where it was, or in the folder above that is still there."""
        folder = next(each for each in self.path.parents if each.is_dir())
        target = folder / f"{self.path.stem}-rescued-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{self.path.suffix}"
        with storage_errors(target):
            try:
                with closing(sqlite3.connect(target)) as copy:
                    connection.backup(copy)
                    copy.execute("PRAGMA journal_mode = DELETE")
            except BaseException:
                target.unlink(missing_ok=True)
                raise
        return target


def _read_file(path: Path, experiment_id: int) -> list[tuple[int, str]]:
    """The experiment of that id as the file itself has it, without locks and without its log."""
    with closing(sqlite3.connect(path.as_uri() + "?mode=ro&immutable=1", uri=True)) as connection:
        sql = "SELECT id, spec_sha256 FROM experiment WHERE id = ?"
        return connection.execute(sql, (experiment_id,)).fetchall()


def identity(path: Path) -> tuple[int, int] | None:
    """What a path names at this moment; None if nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
