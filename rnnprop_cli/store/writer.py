"""The one process that writes: experiments, runs, curves, results, checkpoints, events.

Every method is one transaction: it happened as a whole or not at all, whatever interrupts it.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from sqlite_utils import Database

from rnnprop_cli.errors import StoreError
from rnnprop_cli.records import (
    CellResult,
    CheckpointInfo,
    CurveBlock,
    ExperimentFacts,
    RunFacts,
    RunInfo,
    Status,
)
from rnnprop_cli.store import curve_rows
from rnnprop_cli.store.adopt import adopt, sources_of
from rnnprop_cli.store.database import creating, open_writer
from rnnprop_cli.store.folders import adopt_folders, new_folder
from rnnprop_cli.store.lock import writer_lock
from rnnprop_cli.store.migrations import NEWEST_VERSION, migrate
from rnnprop_cli.store.place import Place, prepare_folder
from rnnprop_cli.store.transactions import Transactions
from rnnprop_cli.store.trouble import storage_errors

_RUN_COLUMNS = tuple(RunFacts.__dataclass_fields__)
_RESULT_COLUMNS = tuple(name for name in CellResult.__dataclass_fields__ if name not in ("key", "status"))


class Writer:
    """Writes to one database while it holds the database's lock. For one thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection, place: Place) -> None:
        self.path = path
        self._connection = connection
        self._db = Database(connection, execute_plugins=False)
        self._transactions = Transactions(path, connection, place)
        self._transaction = self._transactions.begin

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Make the folder and the database if need be, take the lock, migrate, mark stale runs `interrupted`.

        Raises:
            StoreError: another process writes, the folder is read-only, or the file is not ours to write.
        """
        path = prepare_folder(path)
        with writer_lock(path):
            if not path.exists():
                with creating(path) as connection:
                    migrate(connection)
            with Place.watch(path) as place, closing(open_writer(path, NEWEST_VERSION)) as connection:
                with storage_errors(path):
                    migrate(connection)
                writer = cls(path, connection, place)
                writer._take_over()
                yield writer
                writer.check_place()  # nobody is told that all is done when what was done has gone
                with suppress(sqlite3.Error):  # tidiness only; a reader may be in the way
                    connection.execute("PRAGMA busy_timeout = 100")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def check_place(self) -> None:
        """Raises StoreError where what we write no longer lies where it was opened."""
        self._transactions.check_place()

    def _take_over(self) -> None:
        """We hold the lock, so whatever is still marked running has no process any more."""
        with self._transaction() as connection:
            connection.execute("UPDATE run SET status = 'interrupted' WHERE status = 'running'")
            # Of versions that were killed before they had queued the run of a meta-training: nothing was done yet. A
            # run that belongs to no experiment means damage instead, of which no trace is removed.
            empty = (
                "SELECT id FROM experiment WHERE kind = 'train' AND id NOT IN (SELECT experiment_id FROM run)"
                " AND NOT EXISTS (SELECT 1 FROM run WHERE experiment_id NOT IN (SELECT id FROM experiment))"
            )
            connection.execute(f"DELETE FROM event WHERE experiment_id IN ({empty})")
            connection.execute(f"DELETE FROM experiment WHERE id IN ({empty})")
            adopt_folders(connection, self.path)

    def begin_experiment(
        self,
        facts: ExperimentFacts,
        runs: Sequence[RunFacts] = (),
        *,
        fresh: bool = False,
        going_on: int | None = None,
    ) -> int:
        """Id of the newest experiment of this kind, name and spec, or of a new one (always, if `fresh`).

        Continuing keeps the facts of the first start and logs those of this one as an event `continued`.

        Args:
            facts: of this start.
            runs: queued in it with the same transaction, where it must not be without them.
            fresh: never go on with one.
            going_on: the id of the one to go on with, where it need not be the newest.
        """
        with self._transaction() as connection:
            (use,) = connection.execute("SELECT coalesce(max(last_used), 0) + 1 FROM experiment").fetchone()
            found = connection.execute(
                "SELECT id FROM experiment WHERE kind = ? AND name = ? AND spec_sha256 = ?"
                " AND id = coalesce(?, id) ORDER BY last_used DESC LIMIT 1",
                (facts.kind, facts.name, facts.spec_sha256, going_on),
            ).fetchone()
            if found and not fresh:
                connection.execute("UPDATE experiment SET last_used = ? WHERE id = ?", (use, found[0]))
                start = {name: getattr(facts, name) for name in ("git_sha", "versions", "argv", "host")}
                self._insert_event(int(found[0]), "continued", json.dumps(start))
                self._queue(connection, int(found[0]), runs)
                self._transactions.begun = int(found[0]), facts.spec_sha256
                return int(found[0])
            row = {name: getattr(facts, name) for name in ExperimentFacts.__dataclass_fields__}
            row["folder"] = new_folder(facts.spec_sha256) if facts.kind == "train" else None
            table = self._db.table("experiment").insert({**row, "created_utc": utc_now(), "last_used": use})
            assert table.last_pk is not None
            self._queue(connection, int(table.last_pk), runs)
            self._transactions.begun = int(table.last_pk), facts.spec_sha256
            return int(table.last_pk)

    def add_runs(self, experiment_id: int, runs: Sequence[RunFacts], adopt_from: Sequence[int] = ()) -> int:
        """Queue runs. Those whose key the experiment has already stay as they are.

        Args:
            experiment_id: theirs.
            runs: what they are.
            adopt_from: experiments whose results they take over where they have none, see `sources_of`.

        Returns:
            How many took one over.
        """
        with self._transaction() as connection:
            self._queue(connection, experiment_id, runs)
            return adopt(connection, experiment_id, [run.key for run in runs], adopt_from)

    def sources_of(self, experiment_id: int) -> list[int]:
        """Other benchmarks of the same name, whose results may be taken over."""
        return sources_of(self._connection, experiment_id)

    def _queue(self, connection: sqlite3.Connection, experiment_id: int, runs: Sequence[RunFacts]) -> None:
        columns = ("experiment_id", "status", *_RUN_COLUMNS)
        connection.executemany(
            f"INSERT INTO run ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            " ON CONFLICT (experiment_id, key) DO NOTHING",
            ((experiment_id, "queued", *(getattr(run, name) for name in _RUN_COLUMNS)) for run in runs),
        )

    def mark_running(self, experiment_id: int, keys: Sequence[str]) -> None:
        """Runs start now; what an earlier attempt left in their result is cleared, their curves stay."""
        clear = ", ".join(f"{name} = NULL" for name in _RESULT_COLUMNS)
        with self._transaction() as connection:
            self._update_each(
                connection,
                f"UPDATE run SET status = 'running', started_utc = ?, {clear} WHERE experiment_id = ? AND key = ?",
                [(utc_now(), experiment_id, key) for key in keys],
            )

    def mark(self, experiment_id: int, keys: Sequence[str], status: Status, error: str | None = None) -> None:
        """Set the status, and the error if there is one, of runs; nothing else of them changes."""
        with self._transaction() as connection:
            self._update_each(
                connection,
                "UPDATE run SET status = ?, error = ? WHERE experiment_id = ? AND key = ?",
                [(status, error, experiment_id, key) for key in keys],
            )

    def append_curves(
        self, experiment_id: int, curves: Sequence[CurveBlock], *, durable: bool = False
    ) -> None:
        """Continue live curves; of one run and metric, blocks come in ascending steps.

        A block that starts at or before the last stored step rewinds: what is stored from its first step on is
        replaced by it, so an attempt that starts again overwrites the earlier one. `durable`: they are on disk when
        this returns, with all curves before them.
        """
        with self._transaction(durable=durable) as connection:
            curve_rows.append(connection, self._with_ids(connection, experiment_id, curves))

    def record_results(
        self, experiment_id: int, results: Sequence[CellResult], curves: Sequence[CurveBlock] = ()
    ) -> None:
        """Results of a finished batch with their curves, on disk when this returns.

        A curve given here replaces the live curve of that run and metric; other curves stay.
        """
        columns = ("status", *_RESULT_COLUMNS)
        sql = f"UPDATE run SET {', '.join(f'{c} = ?' for c in columns)} WHERE experiment_id = ? AND key = ?"
        with self._transaction() as connection:
            self._update_each(
                connection,
                sql,
                [
                    (*(getattr(result, name) for name in columns), experiment_id, result.key)
                    for result in results
                ],
            )
            with_ids = self._with_ids(connection, experiment_id, curves)
            curve_rows.clear(connection, with_ids)
            curve_rows.append(connection, with_ids)

    def rewind(self, experiment_id: int, key: str, meta_step: int) -> None:
        """Forget what a meta-training recorded after `meta_step`, before it goes on from there."""
        with self._transaction(durable=False) as connection:
            run_id = self._run_id(connection, experiment_id, key)
            curve_rows.truncate(connection, run_id, None, meta_step + 1)
            connection.execute(
                "DELETE FROM checkpoint WHERE run_id = ? AND meta_step > ?", (run_id, meta_step)
            )

    def add_checkpoint(self, experiment_id: int, key: str, checkpoint: CheckpointInfo) -> None:
        """Record a checkpoint file; one of the same step and path is replaced."""
        with self._transaction() as connection:
            run_id = self._run_id(connection, experiment_id, key)
            row = {name: getattr(checkpoint, name) for name in CheckpointInfo.__dataclass_fields__}
            connection.execute(
                "DELETE FROM checkpoint WHERE run_id = ? AND meta_step = ? AND path = ?",
                (run_id, checkpoint.meta_step, checkpoint.path),
            )
            self._db.table("checkpoint").insert({**row, "run_id": run_id, "created_utc": utc_now()})

    def log_event(self, experiment_id: int, kind: str, text: str) -> None:
        """Add a line to the experiment's log."""
        with self._transaction(durable=False):
            self._insert_event(experiment_id, kind, text)

    def delete_runs(self, runs: Sequence[RunInfo]) -> list[RunInfo]:
        """Remove runs with their curves and checkpoint records, and experiments that have none left.

        Checkpoint files stay where they are.

        Args:
            runs: as somebody saw them when he decided. One that has changed since stays: its id may even be another
                run's by now.

        Returns:
            Those that stay.
        """
        with self._transaction() as connection:
            changed = [run for run in runs if not self._is_as_seen(connection, run)]
            kept = {run.id for run in changed}
            gone = [(run.id,) for run in runs if run.id not in kept]
            connection.executemany("DELETE FROM chunk WHERE run_id = ?", gone)
            connection.executemany("DELETE FROM checkpoint WHERE run_id = ?", gone)
            connection.executemany("DELETE FROM run WHERE id = ?", gone)
            for experiment_id in {run.experiment_id for run in runs if run.id not in kept}:
                own = (experiment_id,)
                if not connection.execute("SELECT 1 FROM run WHERE experiment_id = ?", own).fetchone():
                    connection.execute("DELETE FROM event WHERE experiment_id = ?", own)
                    connection.execute("DELETE FROM experiment WHERE id = ?", own)
        return changed

    def _is_as_seen(self, connection: sqlite3.Connection, run: RunInfo) -> bool:
        row = connection.execute(
            "SELECT experiment_id, key, status, started_utc FROM run WHERE id = ?", (run.id,)
        ).fetchone()
        if row is None:
            return False
        seen = run.result.status
        # Opening the writer has marked as interrupted what was running when its process died.
        same_status = row[2] == seen or (seen == "running" and row[2] == "interrupted")
        return same_status and (row[0], row[1], row[3]) == (run.experiment_id, run.facts.key, run.started_utc)

    def _insert_event(self, experiment_id: int, kind: str, text: str) -> None:
        self._db.table("event").insert(
            {"experiment_id": experiment_id, "time_utc": utc_now(), "kind": kind, "text": text}
        )

    def _update_each(
        self, connection: sqlite3.Connection, sql: str, rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Run an UPDATE that must find exactly one run for each row, whose last value is the run's key."""
        for row in rows:
            if connection.execute(sql, row).rowcount != 1:
                raise StoreError(
                    f"{self.path}: the experiment has no run {row[-1]}; it was deleted meanwhile."
                )

    def _run_id(self, connection: sqlite3.Connection, experiment_id: int, key: str) -> int:
        row = connection.execute(
            "SELECT id FROM run WHERE experiment_id = ? AND key = ?", (experiment_id, key)
        ).fetchone()
        if row is None:
            raise StoreError(f"{self.path}: the experiment has no run {key}; it was deleted meanwhile.")
        return int(row[0])

    def _with_ids(
        self, connection: sqlite3.Connection, experiment_id: int, curves: Sequence[CurveBlock]
    ) -> curve_rows.ByCurve:
        """Blocks sorted by (run id, metric id), in the order given."""
        run_ids = {
            key: self._run_id(connection, experiment_id, key) for key in {block.key for block in curves}
        }
        names = {block.metric for block in curves}
        metric_ids = {name: curve_rows.metric_id(connection, name) for name in names}
        grouped: curve_rows.ByCurve = {}
        for block in curves:
            grouped.setdefault((run_ids[block.key], metric_ids[block.metric]), []).append(block)
        return grouped


def utc_now() -> str:
    """The time as stored: ISO 8601, UTC, seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
