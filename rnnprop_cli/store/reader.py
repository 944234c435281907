"""Reading what was recorded, while it is being written or later. Never writes, never blocks the writer."""

import difflib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sqlite_utils import Database

from rnnprop_cli.errors import StoreError, UsageError
from rnnprop_cli.records import (
    CellResult,
    CheckpointInfo,
    ExperimentFacts,
    ExperimentInfo,
    Kind,
    Phase,
    RunInfo,
    Status,
)
from rnnprop_cli.store.chunks import DTYPE, DTYPE_NAME, Chunk, sound_chunk, unpack
from rnnprop_cli.store.database import Opened, open_reader
from rnnprop_cli.store.migrations import NEWEST_VERSION, OLDEST_READ
from rnnprop_cli.store.row_records import cell_result, experiment_info, run_info
from rnnprop_cli.store.row_types import (
    CHUNK,
    EXPERIMENT,
    ID,
    RUN,
    TEXT,
    Allowed,
    columns_of,
    misfit,
    read_json,
)
from rnnprop_cli.store.trouble import REPLACE, storage_errors

Curve = tuple[NDArray[np.int64], NDArray[np.float64]]  # steps, values
_SHORTEST_KEY_PREFIX = 4
_EXPERIMENT_COLUMNS = ", ".join(("id", "created_utc", "folder", *ExperimentFacts.__dataclass_fields__))


class EventInfo(NamedTuple):
    """A line of an experiment's log."""

    time_utc: str
    kind: str
    text: str


class Reader:
    """Reads one database through a connection that cannot write. One thread at a time."""

    def __init__(self, path: Path, opened: Opened) -> None:
        self.path = path
        self.paths: tuple[Path, ...] = (path,)
        self._opened = opened
        self._connection = opened.connection
        self._db = Database(opened.connection, execute_plugins=False)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open an existing database.

        Raises:
            StoreError: absent, damaged, of another program or version.
        """
        path = path.expanduser()
        opened = open_reader(path, NEWEST_VERSION)
        version = opened.version
        with closing(opened.connection):
            if version < OLDEST_READ:
                raise StoreError(
                    f"{path}: was written by an older rnnprop (schema {version}, this one reads {OLDEST_READ} to "
                    f"{NEWEST_VERSION}). "
                    "`rnnprop db backup` copies it, `rnnprop db migrate` brings it up to date."
                )
            yield cls(path, opened)

    def _rows(
        self, sql: str, parameters: Sequence[object] = (), columns: Mapping[str, Allowed] | None = None
    ) -> list[Any]:
        """Rows, checked against `columns` in their order."""
        with storage_errors(self.path):
            rows = self._connection.execute(sql, parameters).fetchall()
        self._opened.check_current()
        for row in rows if columns else ():
            if problem := misfit(zip(columns or (), row, strict=False), columns or {}):
                raise self._damaged(problem)
        return rows

    def _dicts(
        self, sql: str, parameters: Sequence[object], columns: Mapping[str, Allowed]
    ) -> list[dict[str, Any]]:
        """Rows by the names of their columns, checked."""
        with storage_errors(self.path):
            rows = list(self._db.query(sql, list(parameters)))
        self._opened.check_current()
        for row in rows:
            if problem := misfit(row.items(), columns) or read_json(row):
                of = f" (row {row['id']})" if isinstance(row.get("id"), int) else ""
                raise self._damaged(problem + of)
        return rows

    def _damaged(self, problem: str) -> StoreError:
        return StoreError(
            f"{self.path}: the database is damaged: {problem}. `rnnprop db check` lists all of it. {REPLACE}"
        )

    def experiments(self, kind: Kind | None = None, name: str | None = None) -> list[ExperimentInfo]:
        """Experiments, the one used last at the end."""
        rows = self._dicts(
            f"SELECT {_EXPERIMENT_COLUMNS} FROM experiment"
            " WHERE kind = coalesce(?, kind) AND name = coalesce(?, name) ORDER BY last_used",
            (kind, name),
            EXPERIMENT,
        )
        return [experiment_info(row) for row in rows]

    def experiment(self, experiment_id: int) -> ExperimentInfo:
        """The experiment of that id.

        Raises:
            UsageError: there is none.
        """
        for row in self._dicts(
            f"SELECT {_EXPERIMENT_COLUMNS} FROM experiment WHERE id = ?", (experiment_id,), EXPERIMENT
        ):
            return experiment_info(row)
        raise UsageError(f"no experiment {experiment_id} in {self.path}; it was removed.")

    def find_experiment(self, name_or_id: str | int, kind: Kind | None = None) -> ExperimentInfo:
        """The experiment of that name that was used last, or the one of that id.

        Raises:
            UsageError: there is none; lists names that are close.
        """
        wanted = str(name_or_id)
        every = self.experiments(kind)
        for experiment in reversed(every):
            if experiment.facts.name == wanted:
                return experiment
        for experiment in every:
            if str(experiment.id) == wanted:
                return experiment
        what = {"bench": "benchmark", "train": "meta-training", None: "experiment"}[kind]
        names = list(dict.fromkeys(experiment.facts.name for experiment in reversed(every)))
        close = difflib.get_close_matches(wanted, names, n=3)
        if close:
            hint = f"Did you mean {' or '.join(close)}?"
        elif names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            hint = f"There is {', '.join(names[:5])}{more}."
        else:
            hint = "It holds none yet."
        raise UsageError(f"no {what} '{wanted}' in {self.path}. {hint}")

    def find_same(self, kind: Kind, facts: ExperimentFacts) -> ExperimentInfo | None:
        """The experiment that `Writer.begin_experiment` would go on with."""
        same = [
            each for each in self.experiments(kind, facts.name) if each.facts.spec_sha256 == facts.spec_sha256
        ]
        return same[-1] if same else None

    def runs(self, experiment_id: int, phases: Collection[Phase] | None = None) -> list[RunInfo]:
        """Runs of an experiment in the order they were added; of all phases if none is named."""
        sql = "SELECT * FROM run WHERE experiment_id = ?"
        if phases is not None:
            sql += f" AND phase IN ({', '.join('?' * len(phases))})"
        rows = self._dicts(sql + " ORDER BY id", (experiment_id, *(phases or ())), RUN)
        return [run_info(row) for row in rows]

    def find_run(self, id_or_key_prefix: str | int) -> RunInfo:
        """The run of that id, or the newest one whose key starts so.

        Raises:
            UsageError: there is none, or several keys start so.
        """
        wanted = str(id_or_key_prefix)
        if wanted.isascii() and wanted.isdigit() and len(wanted) < 19:
            for row in self._dicts("SELECT * FROM run WHERE id = ?", (int(wanted),), RUN):
                return run_info(row)
        rows: list[dict[str, Any]] = []
        if len(wanted) >= _SHORTEST_KEY_PREFIX:
            # substr, not LIKE: a % in the argument is a character like any other
            rows = self._dicts(
                "SELECT * FROM run WHERE substr(key, 1, ?) = ? ORDER BY id", (len(wanted), wanted), RUN
            )
        keys = sorted({row["key"] for row in rows})
        if len(keys) > 1:
            raise UsageError(f"run '{wanted}' could be {', '.join(keys[:5])}; give more of the key.")
        if not rows:
            raise UsageError(
                f"no run '{wanted}' in {self.path}. `rnnprop runs list` shows their ids; "
                f"a key needs at least its first {_SHORTEST_KEY_PREFIX} characters."
            )
        return run_info(rows[-1])

    def keys_with_status(self, experiment_id: int) -> dict[str, Status]:
        """Status of every run of an experiment, by key."""
        sql = "SELECT key, status FROM run WHERE experiment_id = ?"
        return dict(self._rows(sql, (experiment_id,), {"key": TEXT, "status": TEXT}))

    def dataset_hashes(self, experiment_id: int) -> dict[str, set[str]]:
        """SHA-256 of the data that an experiment's runs were made with, by the dataset's name."""
        rows = self._rows(
            "SELECT DISTINCT dataset, json_extract(config_json, '$.environment.dataset_sha256') FROM run"
            " WHERE experiment_id = ? AND dataset IS NOT NULL",
            (experiment_id,),
            {"dataset": TEXT, "config_json": (str, type(None))},
        )
        found: dict[str, set[str]] = {}
        for name, sha256 in rows:
            if sha256 is not None:
                found.setdefault(name, set()).add(sha256)
        return found

    def settled_results(self, experiment_id: int, keys: Sequence[str]) -> dict[str, CellResult]:
        """Results of those of these runs that are over, by key: done, diverged or failed."""
        rows = self._dicts(
            f"SELECT {', '.join(CellResult.__dataclass_fields__)} FROM run"
            " WHERE experiment_id = ? AND key IN (SELECT value FROM json_each(?))"
            " AND status IN ('done', 'diverged', 'failed')",
            (experiment_id, json.dumps(list(keys))),
            columns_of(CellResult),
        )
        return {row["key"]: cell_result(row) for row in rows}

    def count_settled(self, experiment_id: int) -> int:
        """How many runs of an experiment are over."""
        ((count,),) = self._rows(
            "SELECT count(*) FROM run WHERE experiment_id = ? AND status IN ('done', 'diverged', 'failed')",
            (experiment_id,),
        )
        return int(count)

    def status_counts(self) -> dict[int, Counter[Status]]:
        """How many runs of each status every experiment has."""
        counts: dict[int, Counter[Status]] = {}
        for experiment_id, status, count in self._rows(
            "SELECT experiment_id, status, count(*) FROM run GROUP BY experiment_id, status",
            columns={"experiment_id": ID, "status": TEXT},
        ):
            counts.setdefault(experiment_id, Counter())[status] = count
        return counts

    def metrics(self, run_id: int) -> list[str]:
        """Names of the metrics that have values for a run."""
        rows = self._rows(
            "SELECT name FROM metric WHERE EXISTS"
            " (SELECT 1 FROM chunk WHERE run_id = ? AND metric_id = metric.id) ORDER BY id",
            (run_id,),
            {"name": TEXT},
        )
        return [name for (name,) in rows]

    def curve(self, run_id: int, metric: str) -> Curve:
        """Steps (ascending) and values of one metric; empty arrays if nothing was recorded."""
        return self.curves([run_id], metric)[run_id]

    def curves(self, run_ids: Sequence[int], metric: str) -> dict[int, Curve]:
        """`curve` for many runs in one query; every id asked for is a key."""
        rows = self._chunk_rows([int(run_id) for run_id in run_ids], metric)
        chunks: dict[int, list[Chunk]] = {run_id: [] for run_id in run_ids}
        for run_id, step0, stride, n, dtype, data in rows:
            if dtype != DTYPE_NAME or len(data) != 4 * n or not sound_chunk(step0, stride, n):
                raise StoreError(
                    f"{self.path}: the curve of run {run_id} is damaged at step {step0}. "
                    "Put a backup in its place, or remove the run with `rnnprop runs rm`."
                )
            chunks[run_id].append(Chunk(step0, stride, np.frombuffer(data, dtype=DTYPE)))
        return {run_id: unpack(parts) for run_id, parts in chunks.items()}

    def _chunk_rows(self, run_ids: list[int], metric: str) -> list[Any]:
        return self._rows(
            "SELECT run_id, step0, stride, n, dtype, data FROM chunk"
            " WHERE metric_id = (SELECT id FROM metric WHERE name = ?)"
            " AND run_id IN (SELECT value FROM json_each(?)) ORDER BY run_id, step0",
            (metric, json.dumps(run_ids)),
            CHUNK,
        )

    def checkpoints(self, run_id: int) -> list[CheckpointInfo]:
        """Checkpoints of a meta-training, by meta-step."""
        columns = ", ".join(CheckpointInfo.__dataclass_fields__)
        rows = self._dicts(
            f"SELECT {columns} FROM checkpoint WHERE run_id = ? ORDER BY meta_step, id",
            (run_id,),
            columns_of(CheckpointInfo),
        )
        return [CheckpointInfo(**row) for row in rows]

    def events(self, experiment_id: int) -> list[EventInfo]:
        """The log of an experiment, oldest first."""
        sql = "SELECT time_utc, kind, text FROM event WHERE experiment_id = ? ORDER BY id"
        return [EventInfo(*row) for row in self._rows(sql, (experiment_id,), columns_of(EventInfo))]

    def is_outdated(self) -> bool:
        """Whether only another reader would see what is written from now on."""
        return self._opened.is_outdated()

    def data_version(self) -> int:
        """A number that differs from the last call's if someone committed in between (0.1 ms: fit for polling)."""
        return int(self._rows("PRAGMA data_version")[0][0])
