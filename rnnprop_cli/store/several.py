"""Reading several databases as one, while they are written or later."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from rnnprop_cli.store.database import Opened
from rnnprop_cli.store.migrations import NEWEST_VERSION
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.row_types import CHUNK, TEXT, misfit
from rnnprop_cli.store.trouble import BUSY_TIMEOUT_S, storage_errors
from rnnprop_cli.store.union import Union

_CHUNKS = """
SELECT run_id * :count + :source AS run_id, step0, stride, n, dtype, data FROM s{source}.chunk
WHERE metric_id = (SELECT id FROM s{source}.metric WHERE name = :metric)
AND run_id IN (SELECT value FROM json_each(:runs)) ORDER BY run_id, step0
"""


def open_readers(paths: Sequence[Path]) -> AbstractContextManager[Reader]:
    """One reader of one database or of several; see `Reader.open` and `Union`."""
    return Reader.open(paths[0]) if len(paths) == 1 else UnionReader.open_several(paths)


class UnionReader(Reader):
    """Reads several databases through one connection that cannot write to them. One thread at a time."""

    def __init__(self, connection: sqlite3.Connection, union: Union) -> None:
        path = Path(", ".join(map(str, union.paths)))
        super().__init__(path, Opened(path, connection, NEWEST_VERSION))
        self.paths = union.paths
        self.union = union
        self._versions = union.data_versions()
        self._changes = 0

    @classmethod
    @contextmanager
    def open_several(cls, paths: Sequence[Path]) -> Iterator["UnionReader"]:
        """Open existing databases.

        Raises:
            UsageError: more than SQLite can attach.
            StoreError: one is absent, damaged, of another program or version.
        """
        for path in paths:  # refuses an older version too, which says what brings it up to date
            with Reader.open(path):
                pass
        connection = sqlite3.connect(
            ":memory:", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        with closing(connection):
            yield cls(connection, Union(connection, [path.expanduser() for path in paths], NEWEST_VERSION))

    def data_version(self) -> int:
        """As `Reader.data_version`, of all together; what is the same is told anew when one has changed."""
        with storage_errors(self.path):
            versions = self.union.data_versions()
            if versions != self._versions:
                self._versions = versions
                self._changes += 1
                self.union.refresh()
        return self._changes

    def metrics(self, run_id: int) -> list[str]:
        """As `Reader.metrics`."""
        own, source = divmod(run_id, self.union.count)
        rows = self._rows(
            f"SELECT name FROM s{source}.metric m WHERE EXISTS"
            f" (SELECT 1 FROM s{source}.chunk WHERE run_id = ? AND metric_id = m.id) ORDER BY id",
            (own,),
            {"name": TEXT},
        )
        return [name for (name,) in rows]

    def _chunk_rows(self, run_ids: list[int], metric: str) -> list[Any]:
        """Each database is asked for its own, so that its index serves."""
        rows: list[Any] = []
        for source in range(self.union.count):
            own = [run_id // self.union.count for run_id in run_ids if run_id % self.union.count == source]
            if own:
                with storage_errors(self.union.paths[source]):
                    rows += self._connection.execute(
                        _CHUNKS.format(source=source),
                        {
                            "count": self.union.count,
                            "source": source,
                            "metric": metric,
                            "runs": json.dumps(own),
                        },
                    ).fetchall()
        for row in rows:
            if problem := misfit(zip(CHUNK, row, strict=False), CHUNK):
                raise self._damaged(problem)
        return rows


def tell_conflicts(reader: Reader) -> list[str]:
    """A line if runs have other results in one database than in another; the first one's are shown."""
    if not isinstance(reader, UnionReader) or not (found := reader.union.conflicts()):
        return []
    paths = " and ".join(str(reader.union.paths[copy.source]) for copy in found[0].copies)
    return [
        f"{len(found)} runs have other results in one database than in another, {paths} for instance; those of the "
        "first are shown. `rnnprop db merge` lists them."
    ]
