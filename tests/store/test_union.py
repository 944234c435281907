"""Several databases as one: the same experiment and the same run are shown once, and the furthest of its copies."""

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_samples import EXPERIMENT, block, key_of, some_runs

from rnnprop_cli.errors import StoreError, UsageError
from rnnprop_cli.records import CellResult, ExperimentFacts, RunFacts, Status
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.several import UnionReader, open_readers, tell_conflicts
from rnnprop_cli.store.writer import Writer


def store(
    path: Path,
    runs: Sequence[RunFacts],
    experiment: ExperimentFacts = EXPERIMENT,
    status: Status = "done",
    loss: float = 0.5,
    **options: bool,
) -> None:
    """Runs with a result and a curve each; those that are not over have a curve alone."""
    with Writer.open(path) as writer:
        experiment_id = writer.begin_experiment(experiment, **options)
        writer.add_runs(experiment_id, runs)
        over = status in ("done", "diverged", "failed")
        if over:
            writer.record_results(
                experiment_id, [CellResult(run.key, status, loss + run.seed) for run in runs]
            )
        else:
            writer.mark(experiment_id, [run.key for run in runs], status)
        writer.append_curves(experiment_id, [block(run.seed, 0, [run.seed, loss]) for run in runs])
        writer.log_event(experiment_id, "note", f"{path.stem}")


def shown(paths: Sequence[Path]) -> dict[str, tuple[str, float | None]]:
    with open_readers(paths) as reader:
        (experiment,) = reader.experiments()
        return {
            run.facts.key: (run.result.status, run.result.final_loss) for run in reader.runs(experiment.id)
        }


def test_halves_of_a_benchmark_are_one(tmp_path: Path) -> None:
    a, b = tmp_path / "a.db", tmp_path / "b.db"
    store(a, some_runs(4))
    store(b, some_runs(4, first=2))
    assert shown([a, b]) == {key_of(n): ("done", 0.5 + n) for n in range(6)}
    with open_readers([a, b]) as reader:
        (experiment,) = reader.experiments()
        assert reader.status_counts() == {experiment.id: {"done": 6}}
        assert [event.text for event in reader.events(experiment.id)] == ["a", "b"]
        runs = reader.runs(experiment.id)
        curves = reader.curves([run.id for run in runs], "loss")
        for run in runs:
            assert np.array_equal(curves[run.id][1], np.float32([run.facts.seed, 0.5]))
            assert reader.metrics(run.id) == ["loss"]
            assert reader.find_run(run.id) == run
        assert reader.find_run(key_of(5)).facts.seed == 5
        assert tell_conflicts(reader) == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("interrupted", "done", "done"),
        ("done", "interrupted", "done"),
        ("failed", "done", "done"),
        ("interrupted", "failed", "failed"),
        ("queued", "diverged", "diverged"),
    ],
)
def test_of_a_run_the_copy_that_got_furthest_is_shown(
    tmp_path: Path, first: Status, second: Status, expected: Status
) -> None:
    store(tmp_path / "a.db", some_runs(1), status=first)
    store(tmp_path / "b.db", some_runs(1), status=second)
    ((status, _),) = shown([tmp_path / "a.db", tmp_path / "b.db"]).values()
    assert status == expected


def test_another_spec_is_another_experiment_and_the_last_used_is_last(tmp_path: Path) -> None:
    store(tmp_path / "a.db", some_runs(1))
    store(tmp_path / "b.db", some_runs(1), replace(EXPERIMENT, spec_sha256="6" * 64))
    with open_readers([tmp_path / "b.db", tmp_path / "a.db"]) as reader:
        first, last = reader.experiments()
        assert first.id != last.id
        assert reader.find_experiment("quickstart").id == last.id


def test_an_experiment_begun_anew_stays_a_second_one_however_often_it_is_merged(tmp_path: Path) -> None:
    a, copy = tmp_path / "a.db", tmp_path / "copy.db"
    store(a, some_runs(1))
    store(a, some_runs(2), replace(EXPERIMENT, host="elsewhere"), fresh=True)
    with Reader.open(a) as reader:
        alone = [len(reader.runs(each.id)) for each in reader.experiments()]
    shutil.copy(a, copy)
    with open_readers([a, copy]) as reader:
        assert [len(reader.runs(each.id)) for each in reader.experiments()] == alone == [1, 2]


def test_other_results_of_one_cell_are_told(tmp_path: Path) -> None:
    store(tmp_path / "a.db", some_runs(3))
    store(tmp_path / "b.db", some_runs(2), loss=0.6)
    with UnionReader.open_several([tmp_path / "a.db", tmp_path / "b.db"]) as reader:
        conflicts = reader.union.conflicts()
        assert [each.key for each in conflicts] == [key_of(0), key_of(1)]
        assert [copy.final_loss for copy in conflicts[0].copies] == [0.5, 0.6]
        (line,) = tell_conflicts(reader)
        assert line.startswith("2 runs have other results in one database than in another")


def test_what_is_written_meanwhile_is_seen(tmp_path: Path) -> None:
    a, b = tmp_path / "a.db", tmp_path / "b.db"
    store(a, some_runs(1))
    store(b, some_runs(1), status="interrupted")
    with open_readers([a, b]) as reader:
        before = reader.data_version()
        assert reader.data_version() == before
        store(b, some_runs(3))
        store(b, some_runs(1), replace(EXPERIMENT, name="other"))
        assert reader.data_version() != before
        assert len(reader.experiments()) == 2
        assert len(reader.runs(reader.find_experiment("quickstart").id)) == 3


def test_one_database_is_read_as_ever(tmp_path: Path) -> None:
    store(tmp_path / "a.db", some_runs(1))
    with open_readers([tmp_path / "a.db"]) as reader:
        assert type(reader) is Reader


def test_sources_cannot_be_written_and_bad_ones_are_named(tmp_path: Path) -> None:
    store(tmp_path / "a.db", some_runs(1))
    (tmp_path / "b.db").write_text("no database")
    with (
        pytest.raises(StoreError, match=r"b\.db: is too short"),
        open_readers([tmp_path / "a.db", tmp_path / "b.db"]),
    ):
        pass
    with (
        pytest.raises(StoreError, match=r"c\.db: there is no database"),
        open_readers([tmp_path / "c.db"] * 2),
    ):
        pass
    with pytest.raises(UsageError, match="at most 10"), open_readers([tmp_path / "a.db"] * 11):
        pass
    shutil.copy(tmp_path / "a.db", tmp_path / "b.db")
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    with UnionReader.open_several(paths) as reader, pytest.raises(sqlite3.Error, match="readonly"):
        reader._connection.execute("DELETE FROM s0.run")


def test_values_of_a_wrong_type_are_refused_there_too(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        store(tmp_path / name, some_runs(1))
    with closing(sqlite3.connect(tmp_path / "b.db")) as connection, connection:
        connection.execute("UPDATE chunk SET data = 'text'")
        connection.execute("UPDATE run SET key = 'f' || key")
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    with open_readers(paths) as reader, pytest.raises(StoreError, match="'data' holds text"):
        reader.curves([run.id for run in reader.runs(reader.experiments()[0].id)], "loss")
