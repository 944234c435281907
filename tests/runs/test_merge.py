"""`db merge`: one database of several, by identity, whole or not at all, and the same when it is done again."""

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from test_run_bench import run as bench
from train_samples import SPEC, Stopped, fingerprint, run
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.errors import CheckpointError, IntegrityError, StoreError
from rnnprop_cli.records import TRAIN_LOSS
from rnnprop_cli.runs import merge as merging
from rnnprop_cli.runs.merge import merge
from rnnprop_cli.runs.observer import MetaStepDone
from rnnprop_cli.runs.soundness import check_all
from rnnprop_cli.store.lock import writer_lock
from rnnprop_cli.store.reader import Reader


def content(path: Path) -> dict[str, list[Any]]:
    """Every row of every table."""
    with closing(sqlite3.connect(path)) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names if name[0] != "_"
        }


def outcomes(path: Path) -> dict[str, tuple[object, ...]]:
    """Results and curves of every run by key."""
    with Reader.open(path) as reader:
        runs = [run for each in reader.experiments() for run in reader.runs(each.id)]
        curves = reader.curves([run.id for run in runs], "loss")
        return {
            run.facts.key: (run.result.status, run.result.final_loss, *map(bytes, curves[run.id]))
            for run in runs
        }


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a benchmark in two halves, a.db and b.db, and the whole in whole.db."""
    folder = tmp_path_factory.mktemp("benches")
    bench(folder / "a.db", only="*/adam")
    bench(folder / "b.db", only="*/sgd")
    bench(folder / "whole.db")
    return folder


@pytest.fixture
def folder(benches: Path, tmp_path: Path) -> Path:
    return shutil.copytree(benches, tmp_path / "work")


def test_two_halves_make_the_whole(folder: Path) -> None:
    merged = merge([folder / "a.db", folder / "b.db"], folder / "all.db")
    assert outcomes(folder / "all.db") == outcomes(folder / "whole.db")
    assert merged.runs == merged.added == len(outcomes(folder / "whole.db"))
    assert check_all(folder / "all.db").problems == ()
    assert bench(folder / "all.db").ran == 0  # nothing is missing


def test_again_nothing_changes_and_the_order_does_not_matter(folder: Path) -> None:
    a, b, whole, target = (folder / name for name in ("a.db", "b.db", "whole.db", "all.db"))
    merge([a, b], target)
    before = content(target)
    for sources in ([a, b], [b, a], [b], [whole, a, b], [target, a]):
        assert merge(sources, target).added == 0
        assert content(target) == before


def test_rows_of_the_target_keep_their_ids(folder: Path) -> None:
    with Reader.open(folder / "a.db") as reader:
        before = {run.id: run for run in reader.runs(reader.find_experiment("small").id)}
    merge([folder / "b.db"], folder / "a.db")
    with Reader.open(folder / "a.db") as reader:
        after = {run.id: run for run in reader.runs(reader.find_experiment("small").id)}
    assert before.items() <= after.items()
    assert len(after) > len(before)


def test_another_result_of_one_cell_is_refused_with_both_and_nothing_is_written(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "whole.db")) as connection, connection:
        connection.execute(
            "UPDATE run SET final_loss = 7 WHERE id = (SELECT max(id) FROM run WHERE optimizer = 'sgd')"
        )
    merge([folder / "a.db"], folder / "all.db")
    before = content(folder / "all.db")
    with pytest.raises(IntegrityError) as told:
        merge([folder / "b.db", folder / "whole.db"], folder / "all.db")
    assert "done at 7" in str(told.value)
    assert f"{folder / 'b.db'} run" in str(told.value)
    assert f"{folder / 'whole.db'} run" in str(told.value)
    assert content(folder / "all.db") == before
    with pytest.raises(IntegrityError):
        merge([folder / "b.db", folder / "whole.db"], folder / "new.db")
    assert not (folder / "new.db").exists()


def test_a_failure_amid_it_leaves_the_target_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merge([folder / "a.db"], folder / "all.db")
    before = content(folder / "all.db")

    def no_room(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(merging, "copy_union", no_room)
    for target in ("all.db", "new.db"):
        with pytest.raises(StoreError, match="No space left"):
            merge([folder / "b.db"], folder / target)
    assert content(folder / "all.db") == before
    assert not list(folder.glob("*.new*"))
    assert not (folder / "new.db").exists()


def test_a_target_that_somebody_writes_to_and_a_damaged_source_are_refused(folder: Path) -> None:
    merge([folder / "a.db"], folder / "all.db")
    with writer_lock(folder / "all.db"), pytest.raises(StoreError, match="is writing here"):
        merge([folder / "b.db"], folder / "all.db")
    (folder / "b.db").write_bytes((folder / "b.db").read_bytes()[:9000])
    with pytest.raises(StoreError, match=r"b\.db"):
        merge([folder / "b.db"], folder / "all.db")


@pytest.fixture
def halted(tmp_path: Path) -> Path:
    """A folder with a meta-training that was killed after its first kept checkpoint."""
    (tmp_path / "halted").mkdir()

    def kill(event: object) -> None:
        if isinstance(event, MetaStepDone) and event.result.meta_iteration == 9:
            raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path / "halted" / "a.db", observe=kill)
    return tmp_path / "halted"


def test_a_meta_training_travels_with_its_checkpoints_and_goes_on_to_the_same_bits(
    halted: Path, tmp_path: Path, uninterrupted: str
) -> None:
    target = tmp_path / "there" / "all.db"
    merge([halted / "a.db"], target)
    shutil.rmtree(halted)
    assert check_all(target).problems == ()
    assert run(target).meta_iterations == SPEC.meta_iterations
    assert fingerprint(target) == uninterrupted


def test_the_finished_copy_of_a_meta_training_takes_the_place_of_the_unfinished_one(
    halted: Path, tmp_path: Path, uninterrupted: str
) -> None:
    (tmp_path / "done").mkdir()
    run(tmp_path / "done" / "b.db")
    target = halted / "a.db"
    assert merge([tmp_path / "done" / "b.db"], target).added == 1
    with Reader.open(target) as reader:
        (info,) = reader.runs(reader.find_experiment("tiny").id)
        assert info.result.status == "done"
    assert fingerprint(target) == uninterrupted
    assert run(target).already_done
    before = content(target)
    assert merge([tmp_path / "done" / "b.db"], target).added == 0
    assert content(target) == before


def test_meta_trainings_that_differ_are_refused(halted: Path, tmp_path: Path) -> None:
    shutil.copytree(halted, tmp_path / "other")
    with closing(sqlite3.connect(tmp_path / "other" / "a.db")) as connection, connection:
        (chunk, data) = connection.execute(
            "SELECT chunk.id, data FROM chunk JOIN metric ON metric.id = metric_id WHERE name = ?",
            (TRAIN_LOSS,),
        ).fetchone()
        changed = data[:8] + b"\0" * 4 + data[12:]
        connection.execute("UPDATE chunk SET data = ? WHERE id = ?", (changed, chunk))
    with pytest.raises(IntegrityError, match="differ from meta-iteration 3 on"):
        merge([halted / "a.db", tmp_path / "other" / "a.db"], tmp_path / "all.db")
    assert not (tmp_path / "all.db").exists()


def test_a_damaged_checkpoint_is_refused_and_no_folder_is_left(halted: Path, tmp_path: Path) -> None:
    kept = sorted((halted / "checkpoints").glob("*/meta-*6.safetensors"))[0]
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="is damaged"):
        merge([halted / "a.db"], tmp_path / "there" / "all.db")
    assert not list((tmp_path / "there").glob("checkpoints/*"))


def test_a_checkpoint_that_came_meanwhile_is_not_recorded_without_its_file(
    halted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = merging._trainings

    def too_early(*arguments: Any) -> Any:
        found = whole(*arguments)
        (files,) = found.files.values()
        files[:] = [path for path in files if path.stem != "meta-000000006"]  # the recorded one
        return found

    monkeypatch.setattr(merging, "_trainings", too_early)
    with pytest.raises(StoreError, match="the meta-training is running"):
        merge([halted / "a.db"], tmp_path / "there" / "all.db")
    assert not (tmp_path / "there" / "all.db").exists()
    assert not list((tmp_path / "there").glob("checkpoints/*"))


def test_the_command_says_what_it_did(folder: Path) -> None:
    arguments = ["db", "merge", str(folder / "a.db"), str(folder / "b.db"), "-o", str(folder / "all.db")]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (0, f"{folder / 'all.db'}\n")
    assert "1 experiment, " in done.stderr
    assert "nothing new" in CliRunner().invoke(app, arguments).stderr
    by_option = CliRunner().invoke(app, ["--db", str(folder / "b.db"), "db", "merge", str(folder / "a.db")])
    assert by_option.stdout == f"{folder / 'b.db'}\n"


@pytest.fixture(autouse=True)
def no_folder_of_mine(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.rglob("*.tmp"))
