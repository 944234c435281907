"""Curves as a Parquet file: a row per value, the facts of its run as dictionary columns, which take next to no room."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rnnprop_cli.files.writing import write_by
from rnnprop_cli.runs.exports.folder import require
from rnnprop_cli.view.formats.curve_export import FACTS, RunCurve, facts_of

ROWS_AT_ONCE: Final = 1_000_000


def write_parquet(curves: Sequence[RunCurve], target: Path, database: Path) -> None:
    """Write `target` whole or not at all; nothing is written over.

    Raises:
        UsageError: pyarrow is not installed.
        StoreError: it cannot be written.
    """
    require("pyarrow", "parquet")
    import pyarrow as pa
    from pyarrow import parquet

    types = {"run": pa.int64(), "depth": pa.int64(), "horizon": pa.int64(), "seed": pa.int64()}
    types["learning_rate"] = pa.float64()
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [*((name, types.get(name, text)) for name in FACTS), ("step", pa.int64()), ("value", pa.float32())]
    )

    def fill(descriptor: int) -> None:
        with (
            os.fdopen(os.dup(descriptor), "wb") as file,
            parquet.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for part in _parts(curves):
                writer.write_table(_table(pa, schema, part))

    write_by(target, fill, database=database)


def _parts(curves: Sequence[RunCurve]) -> Iterator[list[RunCurve]]:
    """Curves that make one row group."""
    part: list[RunCurve] = []
    rows = 0
    for curve in curves:
        part.append(curve)
        rows += len(curve.steps)
        if rows >= ROWS_AT_ONCE:
            yield part
            part, rows = [], 0
    if part:
        yield part


def _table(pa: Any, schema: Any, part: Sequence[RunCurve]) -> Any:
    import numpy as np

    lengths = [len(curve.steps) for curve in part]
    facts = [facts_of(curve) for curve in part]
    columns = []
    for name in FACTS:
        values = pa.array([row[name] for row in facts])
        columns.append(
            values.take(pa.array(np.repeat(np.arange(len(part)), lengths))).cast(schema.field(name).type)
        )
    columns.append(pa.array(np.concatenate([curve.steps for curve in part])))
    columns.append(pa.array(np.concatenate([curve.values for curve in part]).astype(np.float32)))
    return pa.Table.from_arrays(columns, schema=schema)
