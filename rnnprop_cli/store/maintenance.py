"""Checking, copying and migrating a whole database."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rnnprop_cli.errors import StoreError
from rnnprop_cli.files.writing import check_output
from rnnprop_cli.store.database import look_before_writing, open_reader, sync_folder
from rnnprop_cli.store.migrations import NEWEST_VERSION
from rnnprop_cli.store.row_types import JSON_COLUMNS
from rnnprop_cli.store.trouble import REPLACE, storage_errors
from rnnprop_cli.store.writer import Writer

_SHOWN = 5  # problems listed in a message
_TABLES = ("experiment", "run", "metric", "chunk", "checkpoint", "event")


@dataclass(frozen=True)
class CheckReport:
    """What a sound database holds."""

    version: int  # of the schema
    experiments: int
    runs: int
    values: int  # of curves
    checkpoints: int


def check_database(path: Path) -> CheckReport:
    """Read every row once: SQLite's own check, foreign keys, types of values, JSON, lengths of curves.

    Raises:
        StoreError: the database is damaged.
    """
    opened = open_reader(path, NEWEST_VERSION)
    connection = opened.connection
    with closing(connection), storage_errors(path):
        problems = [text for (text,) in connection.execute("PRAGMA integrity_check(20)") if text != "ok"]
        problems += [
            f"row {rowid} of {table} has lost its {parent}"
            for table, rowid, parent, _ in connection.execute("PRAGMA foreign_key_check")
        ]
        for table in _TABLES:
            problems += _wrong_values(connection, table)
        problems += [
            f"the curve of run {run_id} is damaged at step {step0}"
            for run_id, step0 in connection.execute(
                "SELECT run_id, step0 FROM chunk"
                " WHERE length(data) != 4 * n OR n < 1 OR stride < 1 OR step0 < 0 LIMIT 20"
            )
        ]
        opened.check_current()
        if problems:
            raise StoreError(f"{path}: the database is damaged: {_list(problems)}. {REPLACE}")
        return CheckReport(
            version=opened.version,
            experiments=_count(connection, "SELECT count(*) FROM experiment"),
            runs=_count(connection, "SELECT count(*) FROM run"),
            values=_count(connection, "SELECT coalesce(sum(n), 0) FROM chunk"),
            checkpoints=_count(connection, "SELECT count(*) FROM checkpoint"),
        )


def _wrong_values(connection: sqlite3.Connection, table: str) -> list[str]:
    """Values of a table that do not fit their column."""
    problems = []
    for _, column, declared, not_null, _, _ in connection.execute(f"PRAGMA table_info({table})").fetchall():
        kinds = {"INTEGER": ["integer"], "REAL": ["real", "integer"], "TEXT": ["text"], "BLOB": ["blob"]}
        allowed = kinds.get(str(declared).upper(), []) + ([] if not_null else ["null"])
        marks = ", ".join("?" * len(allowed))
        rows = connection.execute(
            f"SELECT rowid, typeof({column}) FROM {table} WHERE typeof({column}) NOT IN ({marks}) LIMIT 20",
            allowed,
        )
        problems += [f"row {rowid} of {table}: '{column}' holds {found}" for rowid, found in rows]
        if column in JSON_COLUMNS:
            kind = "object" if JSON_COLUMNS[column] is dict else "array"
            rows = connection.execute(
                f"SELECT rowid FROM {table} WHERE {column} IS NOT NULL AND"
                f" (CASE WHEN json_valid({column}) THEN json_type({column}) END) IS NOT ? LIMIT 20",
                (kind,),
            )
            problems += [f"row {rowid} of {table}: '{column}' holds no JSON {kind}" for (rowid,) in rows]
    return problems


def _count(connection: sqlite3.Connection, sql: str) -> int:
    return int(connection.execute(sql).fetchone()[0])


def _list(problems: list[str]) -> str:
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more


def backup(path: Path, target: Path) -> int:
    """Copy the database as it is at this moment, while a run may be writing it; returns the bytes written.

    Checkpoint files are not part of the copy.

    Raises:
        StoreError: the target exists or cannot be written, or the database cannot be read.
    """
    opened = open_reader(path, NEWEST_VERSION)
    with closing(opened.connection), storage_errors(target):
        check_output(target, database=path)
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            temporary.unlink(missing_ok=True)
            with closing(sqlite3.connect(temporary)) as copy:
                opened.connection.backup(copy)
                opened.check_current()
                # One file that can be carried anywhere: the writer switches WAL on again.
                copy.execute("PRAGMA journal_mode = DELETE")
            temporary.replace(target)
            sync_folder(target.parent)
        except BaseException:
            for side in ("", "-wal", "-shm", "-journal"):
                temporary.with_name(temporary.name + side).unlink(missing_ok=True)
            raise
    return target.stat().st_size


def migrate_database(path: Path) -> int:
    """Bring an existing database up to date; returns the version it had.

    Raises:
        StoreError: there is none, it is not ours, or another process writes to it.
    """
    version = look_before_writing(path, NEWEST_VERSION)
    with Writer.open(path):
        pass
    return NEWEST_VERSION if version is None else version
