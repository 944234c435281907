"""Results that another benchmark of the same name has already: an edited spec computes only what it has anew."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

_SETTLED: Final = "('done', 'diverged')"  # what failed elsewhere is tried again
_FACTS: Final = {"id", "experiment_id", "key", "optimizer", "lr_source"}  # what stays the new run's own


def sources_of(connection: sqlite3.Connection, experiment_id: int) -> list[int]:
    """Other benchmarks of the same name whose curves have as many points, the one used last first."""
    name, own = connection.execute(
        "SELECT name, spec_json FROM experiment WHERE id = ?", (experiment_id,)
    ).fetchone()
    others = connection.execute(
        "SELECT id, spec_json FROM experiment WHERE kind = 'bench' AND name = ? AND id != ? ORDER BY last_used DESC",
        (name, experiment_id),
    ).fetchall()
    return [int(other) for other, spec in others if _curve_points(spec) == _curve_points(own)]


def adopt(
    connection: sqlite3.Connection, experiment_id: int, keys: Sequence[str], sources: Sequence[int]
) -> int:
    """Gives queued runs the results and curves that runs of the same identity have in one of the sources.

    The caller holds a transaction.

    Args:
        connection: of the writer.
        experiment_id: whose runs they are.
        keys: their identities.
        sources: experiments to look in, in this order.

    Returns:
        How many got one.
    """
    if not sources:
        return 0
    columns = [row[1] for row in connection.execute("PRAGMA table_info(run)") if row[1] not in _FACTS]
    chunks = [row[1] for row in connection.execute("PRAGMA table_info(chunk)")]
    chunks = [name for name in chunks if name not in ("id", "run_id")]
    adopted = 0
    for key in keys:
        found = _settled(connection, key, sources) if _waits(connection, experiment_id, key) else None
        if found is None:
            continue
        connection.execute(
            f"UPDATE run SET ({', '.join(columns)}) = (SELECT {', '.join(columns)} FROM run WHERE id = ?)"
            " WHERE experiment_id = ? AND key = ?",
            (found, experiment_id, key),
        )
        (own,) = connection.execute(
            "SELECT id FROM run WHERE experiment_id = ? AND key = ?", (experiment_id, key)
        ).fetchone()
        connection.execute("DELETE FROM chunk WHERE run_id = ?", (own,))
        connection.execute(
            f"INSERT INTO chunk (run_id, {', '.join(chunks)}) SELECT ?, {', '.join(chunks)} FROM chunk"
            " WHERE run_id = ? ORDER BY id",
            (own, found),
        )
        adopted += 1
    return adopted


def _waits(connection: sqlite3.Connection, experiment_id: int, key: str) -> bool:
    """Whether a run is still to be done."""
    (status,) = connection.execute(
        "SELECT status FROM run WHERE experiment_id = ? AND key = ?", (experiment_id, key)
    ).fetchone()
    return status in ("queued", "interrupted")


def _settled(connection: sqlite3.Connection, key: str, sources: Sequence[int]) -> int | None:
    """Id of the first run of this identity that is over; None: there is none."""
    for source in sources:
        found = connection.execute(
            f"SELECT id FROM run WHERE experiment_id = ? AND key = ? AND status IN {_SETTLED}", (source, key)
        ).fetchone()
        if found is not None:
            return int(found[0])
    return None


def _curve_points(spec_json: str) -> object:
    return json.loads(spec_json)["spec"].get("curve_points")
