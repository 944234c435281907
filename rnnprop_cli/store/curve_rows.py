"""Curves as rows of the table `chunk`: the statements that write them. The caller holds the transaction."""

import sqlite3
from collections.abc import Mapping, Sequence

import numpy as np

from rnnprop_cli.records import CurveBlock
from rnnprop_cli.store.chunks import CHUNK_VALUES, DTYPE, DTYPE_NAME, Chunk, as_chunk, pack

ByCurve = dict[tuple[int, int], list[CurveBlock]]  # (run id, metric id) -> blocks in order

_UPSERT = (
    "INSERT INTO chunk (run_id, metric_id, step0, stride, n, dtype, vmin, vmax, nonfinite, data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, metric_id, step0) DO UPDATE SET"
    " stride = excluded.stride, n = excluded.n, dtype = excluded.dtype, vmin = excluded.vmin,"
    " vmax = excluded.vmax, nonfinite = excluded.nonfinite, data = excluded.data"
)


def metric_id(connection: sqlite3.Connection, name: str) -> int:
    """Id of a metric, made on first use."""
    row = connection.execute("SELECT id FROM metric WHERE name = ?", (name,)).fetchone()
    if row is None:
        return int(connection.execute("INSERT INTO metric (name) VALUES (?)", (name,)).lastrowid or 0)
    return int(row[0])


def clear(connection: sqlite3.Connection, curves: ByCurve) -> None:
    """Remove the curves named by the keys of `curves`."""
    connection.executemany("DELETE FROM chunk WHERE run_id = ? AND metric_id = ?", list(curves))


def append(connection: sqlite3.Connection, curves: Mapping[tuple[int, int], Sequence[CurveBlock]]) -> None:
    """Continue each curve with its blocks; see `Writer.append_curves` for blocks that rewind."""
    for (run_id, metric), blocks in curves.items():
        pending = _open_tail(connection, run_id, metric)
        last_step = pending[-1].last_step if pending else -1
        for block in blocks:
            piece = as_chunk(block.step0, block.stride, block.values)
            if not len(piece.values):
                continue
            if piece.step0 <= last_step:
                _put(connection, run_id, metric, pack(pending))
                truncate(connection, run_id, metric, piece.step0)
                pending = _open_tail(connection, run_id, metric)
            pending.append(piece)
            last_step = piece.last_step
        _put(connection, run_id, metric, pack(pending))


def truncate(connection: sqlite3.Connection, run_id: int, metric: int | None, from_step: int) -> None:
    """Drop the values at steps >= `from_step` of one metric, or of all."""
    rows = connection.execute(
        "SELECT id, metric_id, step0, stride, data FROM chunk"
        " WHERE run_id = ? AND metric_id = coalesce(?, metric_id) AND step0 + (n - 1) * stride >= ?",
        (run_id, metric, from_step),
    ).fetchall()
    for chunk_id, of_metric, step0, stride, data in rows:
        kept = Chunk(step0, stride, np.frombuffer(data, dtype=DTYPE)).before(from_step)
        if len(kept.values):
            _put(connection, run_id, of_metric, [kept])
        else:
            connection.execute("DELETE FROM chunk WHERE id = ?", (chunk_id,))


def _open_tail(connection: sqlite3.Connection, run_id: int, metric: int) -> list[Chunk]:
    """The last chunk of a curve; empty if there is none."""
    row = connection.execute(
        "SELECT step0, stride, data FROM chunk WHERE run_id = ? AND metric_id = ? ORDER BY step0 DESC LIMIT 1",
        (run_id, metric),
    ).fetchone()
    return [] if row is None else [Chunk(row[0], row[1], np.frombuffer(row[2], dtype=DTYPE))]


def _put(connection: sqlite3.Connection, run_id: int, metric: int, chunks: Sequence[Chunk]) -> None:
    """Write chunks; one that starts where a stored one does takes its place."""
    for chunk in chunks:
        assert 0 < len(chunk.values) <= CHUNK_VALUES
        finite = chunk.values[np.isfinite(chunk.values)]
        connection.execute(
            _UPSERT,
            (
                run_id,
                metric,
                chunk.step0,
                chunk.stride,
                len(chunk.values),
                DTYPE_NAME,
                float(finite.min()) if finite.size else None,
                float(finite.max()) if finite.size else None,
                len(chunk.values) - finite.size,
                chunk.values.tobytes(),
            ),
        )
