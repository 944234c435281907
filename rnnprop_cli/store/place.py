"""Where a database lies while a run writes to it, and what becomes of the results when somebody takes it away.

The writer's connection holds the file itself, whatever becomes of its name. So a database that was moved is still
written to, and one that was deleted is still whole: all of it is copied to a new file before the run ends.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from rnnprop_cli.errors import StoreError, suggested
from rnnprop_cli.store.database import storage_errors


class Place:
    """The name under which a database was opened, and the file that it had then."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._file = _identity(path)
        self._descriptor = descriptor
        self._rescued: Path | None = None

    @classmethod
    @contextmanager
    def watch(cls, path: Path) -> Iterator[Self]:
        """For as long as somebody writes there."""
        # Opened as a name only (O_PATH): closing any other descriptor of it would drop SQLite's locks. Where the
        # system has no such thing, a moved file is taken for a deleted one.
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC) if hasattr(os, "O_PATH") else None
        try:
            yield cls(path, descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    @property
    def lost(self) -> bool:
        """Whether its name is another file's by now, or nobody's."""
        return _identity(self.path) != self._file

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
        return found if _identity(found) == self._file else None

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


def _identity(path: Path) -> tuple[int, int] | None:
    """What a path names at this moment; None if nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
