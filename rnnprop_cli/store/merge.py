"""Writing what several databases hold into one: rows by rows, through the views of `Union`.

Rows of the database that is added to keep their ids, so that what was called by its id stays so called; all others get
the next free ones.
"""

import sqlite3
from collections.abc import Mapping
from typing import Final

from rnnprop_cli.store.union import Union

# Experiments and runs that are shown, with the id that each will have: `number` has both, by table.
_NUMBER: Final = """
INSERT INTO temp.number SELECT '{table}', id, CASE WHEN id % {n} = {kept} THEN id / {n}
    ELSE {most} + row_number() OVER (PARTITION BY id % {n} = {kept} ORDER BY {order}) END FROM temp.{table}
"""
_RUN: Final = "INSERT INTO main.run ({columns}) SELECT {values} FROM temp.run r ORDER BY {new}"
_NEW: Final = "(SELECT new FROM temp.number WHERE kind = '{table}' AND id = {id})"


def copy_union(
    connection: sqlite3.Connection,
    union: Union,
    folders: Mapping[int, str | None],
    *,
    keep_ids_of_first: bool,
) -> None:
    """Fill the empty tables of the connection's own database. The caller holds a transaction.

    Args:
        connection: in which the views were made.
        union: of what is copied.
        folders: of meta-trainings, by id of the experiment as shown: where checkpoints lie beside the new database.
        keep_ids_of_first: whether the first database is the one that is added to.
    """
    kept = 0 if keep_ids_of_first else -1
    connection.execute(
        "CREATE TEMP TABLE number (kind TEXT, id INTEGER, new INTEGER, PRIMARY KEY (kind, id))"
    )
    for table, order in (("experiment", "last_used"), ("run", "id % {n}, id")):
        most = (
            connection.execute(f"SELECT coalesce(max(id), 0) FROM s0.{table}").fetchone()[0]
            if kept == 0
            else 0
        )
        connection.execute(
            _NUMBER.format(
                table=table, n=union.count, kept=kept, most=most, order=order.format(n=union.count)
            )
        )
    _copy_experiments(connection, union, folders)
    _copy_runs(connection, union)
    connection.execute(
        "INSERT INTO main.event (experiment_id, time_utc, kind, text)"
        f" SELECT {_NEW.format(table='experiment', id='experiment_id')}, time_utc, kind, text"
        " FROM temp.event ORDER BY id"
    )
    for source in range(union.count):
        _copy_curves(connection, union, source)
    _copy_checkpoints(connection, union)
    connection.execute("DROP TABLE temp.number")


def _copy_experiments(
    connection: sqlite3.Connection, union: Union, folders: Mapping[int, str | None]
) -> None:
    columns = union.columns("experiment")
    own = {"id": _NEW.format(table="experiment", id="e.id")}
    connection.execute(
        f"INSERT INTO main.experiment ({', '.join(columns)})"
        f" SELECT {', '.join(own.get(name, 'e.' + name) for name in columns)} FROM temp.experiment e"
    )
    connection.executemany(
        f"UPDATE main.experiment SET folder = ? WHERE id = {_NEW.format(table='experiment', id='?')}",
        [(folder, shown) for shown, folder in folders.items()],
    )


def _copy_runs(connection: sqlite3.Connection, union: Union) -> None:
    columns = union.columns("run")
    own = {
        "id": _NEW.format(table="run", id="r.id"),
        "experiment_id": _NEW.format(table="experiment", id="r.experiment_id"),
        # Whoever runs it does so for another database.
        "status": "CASE r.status WHEN 'running' THEN 'interrupted' ELSE r.status END",
    }
    values = ", ".join(own.get(name, f"r.{name}") for name in columns)
    connection.execute(_RUN.format(columns=", ".join(columns), values=values, new=own["id"]))


def _copy_curves(connection: sqlite3.Connection, union: Union, source: int) -> None:
    connection.execute(
        f"INSERT INTO main.metric (name) SELECT name FROM (SELECT name, id FROM s{source}.metric) x"
        " WHERE NOT EXISTS (SELECT 1 FROM main.metric m WHERE m.name = x.name) ORDER BY x.id"
    )
    rest = [name for name in union.columns("chunk") if name not in ("id", "run_id", "metric_id")]
    connection.execute(
        f"INSERT INTO main.chunk (run_id, metric_id, {', '.join(rest)})"
        f" SELECT number.new, own.id, {', '.join('c.' + name for name in rest)} FROM s{source}.chunk c"
        f" JOIN temp.number number ON number.kind = 'run' AND number.id = c.run_id * {union.count} + {source}"
        f" JOIN s{source}.metric theirs ON theirs.id = c.metric_id JOIN main.metric own ON own.name = theirs.name"
        " ORDER BY c.id"
    )


def _copy_checkpoints(connection: sqlite3.Connection, union: Union) -> None:
    """Each by its name in the folder that its meta-training has beside the new database."""
    columns = [name for name in union.columns("checkpoint") if name != "id"]
    own = {"run_id": "number.new", "path": "new_path(c.path, e.folder)"}
    connection.create_function("new_path", 2, _new_path, deterministic=True)
    connection.execute(
        f"INSERT INTO main.checkpoint ({', '.join(columns)})"
        f" SELECT {', '.join(own.get(name, 'c.' + name) for name in columns)} FROM temp.checkpoint c"
        " JOIN temp.number number ON number.kind = 'run' AND number.id = c.run_id"
        " JOIN main.run r ON r.id = number.new JOIN main.experiment e ON e.id = r.experiment_id ORDER BY c.id"
    )


def _new_path(path: str, folder: str | None) -> str:
    return path if folder is None else f"{folder}/{path.rpartition('/')[2]}"
