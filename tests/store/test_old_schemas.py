"""Databases of every released schema: brought up to date by a writer, with everything that was in them."""

import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_samples import EXPERIMENT, key_of

from rnnprop_cli.records import CellResult, CheckpointInfo
from rnnprop_cli.store.maintenance import check_database, migrate_database
from rnnprop_cli.store.migrations import NEWEST_VERSION, OLDEST_READ
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.several import open_readers
from rnnprop_cli.store.writer import Writer

HERE = Path(__file__).parent


def schema(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            (name, " ".join(sql.split()))
            for name, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        }


def test_there_is_a_database_of_every_schema() -> None:
    assert {int(path.stem.removeprefix("schema_")) for path in HERE.glob("schema_*.sql")} == set(
        range(1, NEWEST_VERSION + 1)
    )


@pytest.mark.parametrize("version", range(1, NEWEST_VERSION + 1))
def test_a_database_of_an_old_schema_keeps_everything_and_gets_the_newest_schema(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((HERE / f"schema_{version}.sql").read_text(encoding="utf-8"))
    assert migrate_database(path) == version
    with Reader.open(path) as reader:
        (experiment,) = reader.experiments()
        assert experiment.facts == EXPERIMENT
        runs = reader.runs(experiment.id)
        assert [run.result.status for run in runs] == ["done", "diverged", "queued"]
        assert runs[0].result == CellResult(key_of(0), "done", 0.25, 0.5, 0.75, None, 1.5, 1000)
        assert math.isnan(runs[1].result.final_loss or 0.0)
        assert reader.curve(runs[0].id, "loss")[1].tolist() == [1.0, 0.5, 0.25]
        assert math.isnan(reader.curve(runs[1].id, "loss")[1][1])
        assert reader.checkpoints(runs[2].id) == [
            CheckpointInfo(5, "checkpoints/x.safetensors", "0" * 64, 0.5, None)
        ]
        assert [event.text for event in reader.events(experiment.id)] == ["hello"]
    with Writer.open(tmp_path / "new.db"):
        pass
    assert schema(path) == schema(tmp_path / "new.db")


def test_the_newest_database_is_sound_but_for_the_checkpoint_file_that_is_not_part_of_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((HERE / f"schema_{NEWEST_VERSION}.sql").read_text(encoding="utf-8"))
        connection.execute("DELETE FROM checkpoint")
        connection.commit()
    assert check_database(path).runs == 3


def test_a_database_of_the_schema_before_is_read_as_it_is_alone_and_beside_a_newer_one(
    tmp_path: Path,
) -> None:
    paths = [tmp_path / "old.db", tmp_path / "new.db"]
    for path, version in zip(paths, (OLDEST_READ, NEWEST_VERSION), strict=True):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript((HERE / f"schema_{version}.sql").read_text(encoding="utf-8"))
            if version == NEWEST_VERSION:
                connection.execute("UPDATE experiment SET name = 'other'")
                connection.execute("UPDATE run SET node = 'n7'")
                connection.commit()
    before = paths[0].read_bytes()
    with Reader.open(paths[0]) as reader:
        assert [run.result.node for run in reader.runs(1)] == [None] * 3
    for order in (paths, paths[::-1]):
        with open_readers(order) as reader:
            nodes = {e.facts.name: {r.result.node for r in reader.runs(e.id)} for e in reader.experiments()}
        assert nodes == {EXPERIMENT.name: {None}, "other": {"n7"}}
    assert paths[0].read_bytes() == before
