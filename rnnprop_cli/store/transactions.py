"""Transactions on a database, for as long as it and its write-ahead log lie where they were opened."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnprop_cli.errors import StoreError
from rnnprop_cli.store.place import Place, identity
from rnnprop_cli.store.trouble import storage_errors


class Transactions:
    """One after the other, through one connection.

    Attributes:
        begun: the experiment that is written, its id and the hash of its spec; None as long as there is none.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, place: Place) -> None:
        self.path = path
        self.begun: tuple[int, str] | None = None
        self._connection = connection
        self._place = place
        self._synchronous = ""
        self._log = Path(f"{path}-wal")
        self._log_file: tuple[int, int] | None = None  # of the write-ahead log, once it is there

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One BEGIN IMMEDIATE transaction, rolled back on any exception.

        IMMEDIATE, because a transaction that reads first and writes later fails at once when another connection wrote
        in between, whatever the timeout. `durable` waits for the disk (synchronous FULL, some 4 ms); without it a power
        cut may cost the latest transactions, but never tears one.

        A database that is no longer where it was gets this transaction still, which is the last: see `check_place`.
        """
        with storage_errors(self.path):
            if not self._place.lost:
                self._place.check_content(self.begun)
                self._check_log()
            wanted = "FULL" if durable else "NORMAL"
            if self._synchronous != wanted:
                self._connection.execute(f"PRAGMA synchronous = {wanted}")
                self._synchronous = wanted
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have rolled it back by itself
                    self._connection.execute("ROLLBACK")
                raise
            self.check_place()

    def check_place(self) -> None:
        """Whether what we write still lies where it was opened.

        Raises:
            StoreError: the database, or a folder above it, was moved, replaced or deleted; says where all that was
                computed is now.
        """
        if self._place.lost:
            raise self._place.error(self._connection)
        self._place.check_content(self.begun)

    def _check_log(self) -> None:
        """Others take a log that was deleted for an empty one: what is in ours goes into the database while we can."""
        if self._log_file is None:
            self._log_file = identity(self._log)
        elif identity(self._log) != self._log_file:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            raise StoreError(
                f"{self._log}: was deleted or replaced while this was running. What was recorded has been saved; "
                "run the same command again, and leave the files beside the database alone while it runs."
            )
