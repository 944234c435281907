"""Several databases as if they were one: temporary views over attached files, which are only read.

What is the same is so by identity. An experiment is the same in two databases where kind, name and the hash of its
resolved spec are; a run is the same where, in such an experiment, its key is, the hash of all that its numbers depend
on. Of a run that several have, the one that got furthest is shown; results that differ all the same are conflicts.

Ids are `id * N + k` for the k-th of N databases. Everything here is about the connection that the views are made in;
the tables `member` and `hidden`, which say what is shown, are made anew when a database has changed.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import UsageError
from rnnprop_cli.store.database import check_file, reading_uri
from rnnprop_cli.store.trouble import storage_errors

LATER_OF_RUN: Final = ("node",)  # columns of runs that not every schema that is read has
MOST: Final = 10  # databases that SQLite attaches
# A run that is over goes before one that failed, and that before one that was never finished.
_RANK: Final = "CASE status WHEN 'done' THEN 0 WHEN 'diverged' THEN 0 WHEN 'failed' THEN 1 ELSE 2 END"
_OUTCOME: Final = ("status", "final_loss", "heldout_loss", "heldout_accuracy", "first_bad_step")


@dataclass(frozen=True)
class Member:
    """An experiment in one of the databases."""

    source: int
    id: int  # there
    shown_as: int  # id of the experiment that stands for it


@dataclass(frozen=True)
class Copy:
    """A run in one of the databases, and what came of it."""

    source: int
    run_id: int  # there
    status: str
    final_loss: float | None


@dataclass(frozen=True)
class Conflict:
    """One run that came out differently in two databases."""

    experiment: str
    key: str
    optimizer: str
    seed: int
    copies: tuple[Copy, Copy]


class Union:
    """The views of one connection."""

    def __init__(self, connection: sqlite3.Connection, paths: Sequence[Path], newest_version: int) -> None:
        """Attach the databases, which must be of a version that a `Reader` reads.

        Raises:
            UsageError: there are more than `MOST`.
            StoreError: one is absent, damaged, of another program or version.
        """
        if len(paths) > MOST:
            raise UsageError(f"{len(paths)} databases: at most {MOST} at once. Merge some of them first.")
        self.paths = tuple(paths)
        self._connection = connection
        for number, path in enumerate(paths):
            check_file(path, newest_version)
            with storage_errors(path):
                connection.execute(f"ATTACH ? AS s{number}", (reading_uri(path),))
        with storage_errors(paths[0]):
            connection.execute(
                "CREATE TEMP TABLE member (source INTEGER, id INTEGER, shown_as INTEGER, used INTEGER,"
                " PRIMARY KEY (source, id))"
            )
            connection.execute("CREATE TEMP TABLE hidden (id INTEGER PRIMARY KEY)")
            self._make_views()
        self.refresh()

    def close(self) -> None:
        """Take the views and the databases away again; the connection itself stays open."""
        for name in ("experiment", "run", "checkpoint", "event"):
            self._connection.execute(f"DROP VIEW temp.{name}")
        for name in ("member", "hidden"):
            self._connection.execute(f"DROP TABLE temp.{name}")
        for number in range(self.count):
            self._connection.execute(f"DETACH s{number}")

    @property
    def count(self) -> int:
        """Of databases."""
        return len(self.paths)

    def columns(self, table: str) -> list[str]:
        """Of a table, in their order; those of the newest schema among the databases."""
        return max((self._own_columns(table, k) for k in range(self.count)), key=len)

    def _own_columns(self, table: str, source: int) -> list[str]:
        return [row[1] for row in self._connection.execute(f"PRAGMA s{source}.table_info({table})")]

    def data_versions(self) -> tuple[int, ...]:
        """Numbers of which one differs from the last call's if somebody committed in between."""
        return tuple(
            int(self._connection.execute(f"PRAGMA s{k}.data_version").fetchone()[0])
            for k in range(self.count)
        )

    def refresh(self) -> None:
        """Say anew which experiments and runs are the same."""
        self._connection.execute("DELETE FROM temp.member")
        self._connection.execute("DELETE FROM temp.hidden")
        self._connection.executemany("INSERT INTO temp.member VALUES (?, ?, ?, ?)", self._members())
        for shown_as, members in self.shared().items():
            self._connection.executemany(
                "INSERT OR IGNORE INTO temp.hidden VALUES (?)", self._hidden(shown_as, members)
            )

    def shared(self) -> dict[int, list[Member]]:
        """Experiments that several members stand for, by the id that is shown."""
        found: dict[int, list[Member]] = {}
        for row in self._connection.execute(
            "SELECT source, id, shown_as FROM temp.member ORDER BY source, id"
        ).fetchall():
            found.setdefault(row[2], []).append(Member(*row))
        return {shown_as: members for shown_as, members in found.items() if len(members) > 1}

    def conflicts(self) -> list[Conflict]:
        """Runs that are over in two databases and whose results differ."""
        differ = " OR ".join(f"a.{name} IS NOT b.{name}" for name in _OUTCOME)
        found = []
        for members in self.shared().values():
            for number, other in enumerate(members):
                for one in members[:number]:
                    rows = self._connection.execute(
                        f"SELECT e.name, a.key, a.optimizer, a.seed, a.id, a.status, a.final_loss,"
                        f" b.id, b.status, b.final_loss FROM s{one.source}.run a"
                        f" JOIN s{other.source}.run b ON b.experiment_id = ? AND b.key = a.key"
                        f" JOIN s{one.source}.experiment e ON e.id = a.experiment_id"
                        f" WHERE a.experiment_id = ? AND a.status IN ('done', 'diverged')"
                        f" AND b.status IN ('done', 'diverged') AND ({differ}) ORDER BY a.id",
                        (other.id, one.id),
                    )
                    for name, key, optimizer, seed, *outcomes in rows:
                        copies = (Copy(one.source, *outcomes[:3]), Copy(other.source, *outcomes[3:]))
                        found.append(Conflict(name, key, optimizer, seed, copies))
        return found

    def _members(self) -> list[tuple[int, int, int, int]]:
        """Every experiment: the database, its id there, the id that is shown, and when it was used, as a rank."""
        sql = (
            "SELECT id, kind, name, spec_sha256, created_utc, host, last_used, max(created_utc, coalesce("
            "(SELECT max(time_utc) FROM s{k}.event WHERE experiment_id = e.id AND kind = 'continued'), ''))"
            " FROM s{k}.experiment e ORDER BY last_used"
        )
        shown: dict[
            object, int
        ] = {}  # by what makes an experiment the same: the newest of the first database
        exact: dict[object, int] = {}  # by that and its beginning
        members: list[tuple[int, int, int]] = []
        used: dict[int, tuple[str, int, int]] = {}
        for k in range(self.count):
            rows = self._connection.execute(sql.format(k=k)).fetchall()
            added: dict[object, int] = {}
            for own, kind, name, sha256, created, host, last_used, when in rows:
                what = (kind, name, sha256)
                beginning = (*what, created, host)
                shown_as = exact.get(beginning, shown.get(what))
                if shown_as is None:
                    shown_as = own * self.count + k
                    added[what] = shown_as  # a later one of this database is another: it was begun anew there
                exact.setdefault(beginning, shown_as)
                members.append((k, own, shown_as))
                used[shown_as] = max(used.get(shown_as, ("", 0, 0)), (when, k, last_used))
            shown = {**added, **shown}
        ranks = {shown_as: rank for rank, shown_as in enumerate(sorted(used, key=used.__getitem__), 1)}
        return [(k, own, shown_as, ranks[shown_as]) for k, own, shown_as in members]

    def _hidden(self, shown_as: int, members: Sequence[Member]) -> list[tuple[int]]:
        """Runs that another copy stands for."""
        parts = [
            f"SELECT id * {self.count} + {each.source} AS uid, key, {_RANK} AS rank, {each.source} AS source,"
            f" CASE phase WHEN 'train' THEN (SELECT max(step0 + (n - 1) * stride) FROM s{each.source}.chunk"
            f" WHERE run_id = run.id) END AS progress FROM s{each.source}.run WHERE experiment_id = {each.id}"
            for each in members
        ]
        return self._connection.execute(
            "SELECT uid FROM (SELECT uid, row_number() OVER"
            " (PARTITION BY key ORDER BY rank, progress DESC, source, uid DESC) AS place"
            f" FROM ({' UNION ALL '.join(parts)})) WHERE place > 1"
        ).fetchall()

    def _make_views(self) -> None:
        n = self.count
        experiment = [name for name in self.columns("experiment") if name not in ("id", "last_used")]
        run = [name for name in self.columns("run") if name not in ("id", "experiment_id", *LATER_OF_RUN)]
        of_run = ", ".join("r." + name for name in run)
        later = [
            [
                f"r.{name}" if name in self._own_columns("run", k) else f"NULL AS {name}"
                for name in LATER_OF_RUN
                if name in self.columns("run")
            ]
            for k in range(n)
        ]
        checkpoint = [name for name in self.columns("checkpoint") if name not in ("id", "run_id")]
        bodies = {
            "experiment": (
                f"e.id * {n} + {{k}} AS id, {', '.join('e.' + name for name in experiment)}, m.used AS last_used",
                f"experiment e JOIN temp.member m ON m.source = {{k}} AND m.id = e.id"
                f" WHERE m.shown_as = e.id * {n} + {{k}}",
            ),
            "run": (
                f"r.id * {n} + {{k}} AS id, m.shown_as AS experiment_id, {of_run}{{later}}",
                f"run r JOIN temp.member m ON m.source = {{k}} AND m.id = r.experiment_id"
                f" WHERE r.id * {n} + {{k}} NOT IN (SELECT id FROM temp.hidden)",
            ),
            "checkpoint": (
                f"c.id * {n} + {{k}} AS id, c.run_id * {n} + {{k}} AS run_id,"
                f" {', '.join('c.' + name for name in checkpoint)}",
                "checkpoint c",
            ),
        }
        for name, (select, source) in bodies.items():
            parts = [
                f"SELECT {select.format(k=k, later=''.join(f', {each}' for each in later[k]))}"
                f" FROM s{k}.{source.format(k=k)}"
                for k in range(n)
            ]
            self._connection.execute(f"CREATE TEMP VIEW {name} AS {' UNION ALL '.join(parts)}")
        lines = " UNION ".join(  # each once: a log that was merged before holds the same lines
            f"SELECT m.shown_as AS experiment_id, e.time_utc, e.kind, e.text FROM s{k}.event e"
            f" JOIN temp.member m ON m.source = {k} AND m.id = e.experiment_id"
            for k in range(n)
        )
        self._connection.execute(
            "CREATE TEMP VIEW event AS SELECT row_number() OVER (ORDER BY time_utc, kind, text) AS id,"
            f" experiment_id, time_utc, kind, text FROM ({lines})"
        )
