"""The database is taken away under a run: that is said at the next write, and nothing that was computed is lost."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from test_run_bench import SPEC as BENCH
from test_run_bench import run as bench
from train_samples import SPEC, run

from rnnprop_cli.errors import StoreError
from rnnprop_cli.records import TRAIN_LOSS
from rnnprop_cli.runs.observer import BatchFinished, CheckpointKept, Event, MetaStepDone
from rnnprop_cli.store.maintenance import check_database
from rnnprop_cli.store.reader import Reader


def delete(path: Path) -> None:
    for side in ("", "-wal", "-shm"):
        Path(f"{path}{side}").unlink(missing_ok=True)


def replace_by_another(path: Path) -> None:
    delete(path)
    shutil.copy(path.with_name("other.db"), path)


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def after(count: int, kind: type[Event], act: Callable[[], object]) -> Callable[[Event], None]:
    """An observer that acts at the so-many-th event of a kind."""
    seen = 0

    def observe(event: Event) -> None:
        nonlocal seen
        if isinstance(event, kind):
            seen += 1
            if seen == count:
                act()

    return observe


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a database in a folder with another one."""
    (tmp_path / "results").mkdir()
    bench(tmp_path / "results" / "other.db", BENCH.model_copy(update={"name": "other"}), only="*/sgd")
    return tmp_path / "results" / "a.db"


def rescued(path: Path) -> Path:
    (found,) = [*path.parent.parent.glob("a-rescued-*.db"), *path.parent.glob("a-rescued-*.db")]
    check_database(found)
    return found


@pytest.mark.parametrize("act", [delete, replace_by_another, delete_folder])
def test_a_benchmark_keeps_what_it_computed_in_a_file_beside(path: Path, act: Callable[[Path], None]) -> None:
    finished: list[int] = []

    def observe(event: Event) -> None:
        if isinstance(event, BatchFinished):
            finished.append(len(event.batch))
            if len(finished) == 2:
                act(path)

    with pytest.raises(StoreError, match="was deleted or replaced while this was running") as told:
        bench(path, observe=observe)
    copy = rescued(path)
    assert str(copy) in str(told.value)
    assert ("db merge" in str(told.value)) == (act is replace_by_another)
    with Reader.open(copy) as reader:
        statuses = [run.result.status for run in reader.runs(reader.find_experiment("small").id)]
    assert statuses.count("done") >= sum(finished)
    if act is replace_by_another:  # nothing is written to what is there now
        check_database(path)
        with Reader.open(path) as reader:
            assert [each.facts.name for each in reader.experiments()] == ["other"]


def test_a_training_keeps_its_curve_and_its_checkpoints_and_goes_on(path: Path) -> None:
    with pytest.raises(StoreError, match="was deleted or replaced"):
        run(path, observe=after(1, CheckpointKept, lambda: delete(path)))
    copy = rescued(path)
    with Reader.open(copy) as reader:
        (info,) = reader.runs(reader.find_experiment("tiny").id)
        assert len(reader.curve(info.id, TRAIN_LOSS)[0]) >= 6
    copy.rename(path)
    assert run(path).meta_iterations == SPEC.meta_iterations


def test_a_deletion_after_the_last_write_is_not_called_done(path: Path) -> None:
    last = SPEC.meta_iterations

    def observe(event: Event) -> None:
        if isinstance(event, CheckpointKept) and event.checkpoint.meta_step == last:
            delete(path)

    with pytest.raises(StoreError, match="was deleted"):
        run(path, observe=observe)
    with Reader.open(rescued(path)) as reader:
        assert reader.find_experiment("tiny").facts.name == "tiny"


def test_a_moved_database_gets_what_was_computed_and_says_where_it_is(path: Path) -> None:
    elsewhere = path.with_name("moved")
    elsewhere.mkdir()

    def move() -> None:
        for side in ("", "-wal", "-shm"):
            Path(f"{path}{side}").rename(elsewhere / f"a.db{side}")

    with pytest.raises(StoreError, match="was moved") as told:
        run(path, observe=after(3, MetaStepDone, move))
    assert str(elsewhere / "a.db") in str(told.value)
    assert not list(path.parent.glob("*rescued*"))


@pytest.mark.parametrize("work", ["bench", "train"])
def test_a_database_that_is_copied_over_ends_the_run_and_the_copy_is_whole(path: Path, work: str) -> None:
    other = path.with_name("other.db")
    if work == "bench":
        act = after(2, BatchFinished, lambda: shutil.copyfile(other, path))
        with pytest.raises(StoreError, match="another database was copied over it"):
            bench(path, observe=act)
    else:
        act = after(1, CheckpointKept, lambda: shutil.copyfile(other, path))
        with pytest.raises(StoreError, match="another database was copied over it"):
            run(path, observe=act)
    assert path.read_bytes() == other.read_bytes()
    assert not Path(f"{path}-wal").exists()
    check_database(path)


def test_somebody_elses_checkpoint_ends_nothing(path: Path) -> None:
    def checkpoint() -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(FULL)")

    assert bench(path, observe=after(1, BatchFinished, checkpoint)).failed == 0
    assert run(path, observe=after(1, CheckpointKept, checkpoint)).meta_iterations == SPEC.meta_iterations
    check_database(path)
