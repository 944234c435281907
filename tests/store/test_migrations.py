"""The schema's steps: transactional, once each, from every earlier state."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database
from sqlite_utils.migrations import Migrations
from store_samples import EXPERIMENT

from rnnprop_cli.errors import StoreError
from rnnprop_cli.store import migrations
from rnnprop_cli.store.migrations import NEWEST_VERSION, migrate
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer


def schema(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def test_migrating_twice_changes_nothing():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        assert migrate(connection) == ["m001_initial", "m002_checkpoint_folders", "m003_nodes"]
        first = schema(connection)
        assert migrate(connection) == []
        assert schema(connection) == first
        assert version(connection) == NEWEST_VERSION


def test_tables_are_those_that_the_interface_names():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        tables = {name for name in Database(connection).table_names() if not name.startswith("_")}
    assert tables == {"experiment", "run", "metric", "chunk", "checkpoint", "event"}


def test_a_step_that_fails_leaves_the_schema_and_version_before_it(monkeypatch):
    steps = Migrations("rnnprop")
    monkeypatch.setattr(migrations, "migrations", steps)

    @migrations._step(1, "good")
    def _(db):
        db.table("good").create({"id": int})

    @migrations._step(2, "bad")
    def _(db):
        db.table("half").create({"id": int})
        raise RuntimeError("half way")

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with pytest.raises(RuntimeError):
            migrate(connection)
        assert version(connection) == 1
        names = {name for name, _ in schema(connection)}
        assert "good" in names
        assert "half" not in names


def test_an_older_database_is_migrated_by_a_writer_and_refused_by_a_reader(tmp_path, monkeypatch):
    path = tmp_path / "x.db"
    with Writer.open(path) as writer:
        writer.begin_experiment(EXPERIMENT)
    later = Migrations("rnnprop")
    later._migrations = list(migrations.migrations._migrations)
    monkeypatch.setattr(migrations, "migrations", later)
    for module in ("reader", "writer"):
        monkeypatch.setattr(f"rnnprop_cli.store.{module}.NEWEST_VERSION", NEWEST_VERSION + 1)
    monkeypatch.setattr("rnnprop_cli.store.reader.OLDEST_READ", NEWEST_VERSION + 1)

    @migrations._step(NEWEST_VERSION + 1, "colour")
    def _(db):
        db.table("experiment").add_column("colour", str)

    with pytest.raises(StoreError, match="rnnprop db migrate"), Reader.open(path):
        pass
    with Writer.open(path):
        pass
    with Reader.open(path) as reader:
        assert [e.facts for e in reader.experiments()] == [EXPERIMENT]


FIRST_START = """
import sys, time
from pathlib import Path
from rnnprop_cli.errors import StoreError
from rnnprop_cli.store.writer import Writer
time.sleep(max(0, float(sys.argv[2]) - time.time()))
try:
    with Writer.open(Path(sys.argv[1])):
        time.sleep(0.01)
    print("wrote")
except StoreError as error:
    print("refused" if "is writing here" in str(error) else error)
"""


def test_many_first_starts_at_once_give_one_schema(tmp_path):
    import time

    root = Path(migrations.__file__).parents[2]
    command = [sys.executable, "-c", FIRST_START, str(tmp_path / "x.db"), str(time.time() + 2)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    processes = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        for _ in range(6)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert set(said) <= {"wrote", "refused"}
    assert "wrote" in said
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        assert connection.execute("SELECT name FROM _sqlite_migrations").fetchall() == [
            ("m001_initial",),
            ("m002_checkpoint_folders",),
            ("m003_nodes",),
        ]
