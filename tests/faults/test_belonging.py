"""A database, its curves and its checkpoints belong together: moved, lost, old or foreign ones are seen, and nothing is
begun again in silence."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from fault_tools import (
    TALLY,
    TRAIN_COMMAND,
    Nursery,
    checkpoint_folder,
    fingerprint,
    prepare,
    running_cells,
    tree,
    wait_until,
)

from rnnprop_cli.plan.identity import content_hash
from rnnprop_cli.records import TRAIN_LOSS
from rnnprop_cli.runs.snapshots import checkpoint_files, step_of
from rnnprop_cli.store.lock import folder_lock
from rnnprop_cli.store.reader import Reader

RESUME = ("train", "--resume", "tiny")


@pytest.fixture(scope="module")
def half_done(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A meta-training that a full disk ended, with kept and rolling checkpoints."""
    folder = prepare(tmp_path_factory.mktemp("half_done"))
    assert nursery.run(folder, *TRAIN_COMMAND, faults="no_room_from_13").code == 3
    assert (
        nursery.run(folder, "db", "migrate").code == 0
    )  # the next writer notes that nobody runs it any more
    assert steps_recorded(folder) > 12
    return folder


@pytest.fixture
def half(half_done: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(half_done, tmp_path / "half")


def steps_recorded(folder: Path, name: str = "a.db", run_id: int = 1) -> int:
    with Reader.open(folder / name) as reader:
        return len(reader.curve(run_id, TRAIN_LOSS)[0])


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def files(folder: Path) -> dict[str, str]:
    """All but what SQLite makes beside a database while somebody reads it."""
    return {name: digest for name, digest in tree(folder).items() if not name.endswith(("-wal", "-shm"))}


def assert_refused(nursery: Nursery, folder: Path, *arguments: str, says: str) -> str:
    """Exit 4 with nothing changed; what it said."""
    before = files(folder)
    refused = nursery.run(folder, *arguments)
    assert refused.code == 4, refused.said
    assert says in refused.said
    assert files(folder) == before
    TALLY["resumes with something lost, old or foreign"] += 1
    return refused.said


def test_a_renamed_database_finds_its_checkpoints_and_ends_with_the_same_bits(
    nursery: Nursery, half: Path, undisturbed_training: str
) -> None:
    (half / "a.db").rename(half / "mine.db")
    command = nursery.run(half, "--db", "mine.db", *RESUME)
    assert command.code == 0, command.said
    assert "0 of 24" not in command.said
    (half / "mine.db").rename(half / "a.db")
    assert fingerprint(half) == undisturbed_training
    TALLY["renamed databases"] += 1


def test_without_its_checkpoint_folder_a_training_is_refused_and_from_scratch_keeps_the_old_curve(
    nursery: Nursery, half: Path
) -> None:
    checkpoint_folder(half).rename(half / "elsewhere")
    for command in (RESUME, TRAIN_COMMAND, (*RESUME, "--rewind")):
        said = assert_refused(nursery, half, *command, says="checkpoint")
        assert "rnnprop train --resume tiny --from-scratch" in said
    assert_refused(nursery, half, "db", "check", says="rnnprop train --resume tiny --from-scratch")
    before = steps_recorded(half)
    anew = nursery.run(half, *RESUME, "--from-scratch")
    assert anew.code == 0, anew.said
    assert steps_recorded(half, run_id=1) == before
    assert steps_recorded(half, run_id=2) == 24


def test_an_older_backup_under_newer_checkpoints_is_refused_and_rewinding_gives_the_same_bits(
    nursery: Nursery, folder: Path, undisturbed_training: str
) -> None:
    backup_under_newer_checkpoints(nursery, folder)
    said = assert_refused(nursery, folder, *RESUME, says="an older database was put back")
    assert "rnnprop train --resume tiny --rewind" in said
    assert_refused(nursery, folder, "db", "check", says="rnnprop train --resume tiny --rewind")
    mended = nursery.run(folder, *RESUME, "--rewind")
    assert mended.code == 0, mended.said
    assert fingerprint(folder) == undisturbed_training
    assert nursery.run(folder, "db", "check").code == 0


def backup_under_newer_checkpoints(nursery: Nursery, folder: Path) -> None:
    """Makes of a folder one in which a backup lies beside the checkpoints of a later moment."""
    assert nursery.run(folder, *TRAIN_COMMAND, faults="no_room_from_9").code == 3
    assert nursery.run(folder, "db", "migrate").code == 0
    assert nursery.run(folder, "db", "backup", "old.db").code == 0
    early = steps_recorded(folder)
    assert nursery.run(folder, *RESUME, faults="no_room_from_7").code == 3
    assert steps_recorded(folder) > early
    assert step_of(checkpoint_files(checkpoint_folder(folder))[-1]) > early
    for side in ("", "-wal", "-shm"):
        (folder / f"a.db{side}").unlink(missing_ok=True)
    (folder / "old.db").rename(folder / "a.db")
    assert (
        nursery.run(folder, "db", "migrate").code == 0
    )  # a backup has no write-ahead log; its first writer adds it


def test_a_hole_in_a_curve_is_refused_found_and_mended(nursery: Nursery, half: Path) -> None:
    with closing(sqlite3.connect(half / "a.db")) as connection, connection:
        chunk, metric, data = connection.execute(
            "SELECT chunk.id, metric.id, data FROM chunk JOIN metric ON metric.id = metric_id"
            " WHERE metric.name = ?",
            (TRAIN_LOSS,),
        ).fetchone()
        values = np.frombuffer(data, dtype="<f4")
        connection.execute("UPDATE chunk SET n = 5, data = ? WHERE id = ?", (values[:5].tobytes(), chunk))
        connection.execute(
            "INSERT INTO chunk (run_id, metric_id, step0, stride, n, dtype, nonfinite, data)"
            " VALUES (1, ?, 8, 1, ?, 'f4', 0, ?)",
            (metric, len(values) - 7, values[7:].tobytes()),
        )
    for command in (RESUME, ("db", "check")):
        said = assert_refused(nursery, half, *command, says="its curve has a hole after meta-iteration 5")
        assert "--from-scratch" in said  # the checkpoints within the first 5 meta-iterations are gone
    finished = nursery.run(half, *RESUME, "--from-scratch")
    assert finished.code == 0


def test_a_checkpoint_folder_of_another_training_is_refused(
    nursery: Nursery, half: Path, folder: Path
) -> None:
    (folder / "train.toml").write_text((folder / "train.toml").read_text() + "seed = 5\n")
    assert nursery.run(folder, *TRAIN_COMMAND).code == 0
    mine = checkpoint_folder(half)
    shutil.rmtree(mine)
    shutil.copytree(checkpoint_folder(folder), mine)
    assert_refused(nursery, half, *RESUME, says="checkpoint")


def test_a_results_folder_that_is_renamed_during_a_training_is_said_and_not_made_anew(
    nursery: Nursery, folder: Path, undisturbed_training: str
) -> None:
    (folder / "results").mkdir()
    place = ("--db", "results/a.db")
    command = nursery.start(folder, *place, *TRAIN_COMMAND, faults="slow")
    wait_until(lambda: running_cells(folder / "results") > 0)
    time.sleep(0.3)
    (folder / "results").rename(folder / "kept")
    assert command.wait() == 3, command.said
    assert "was moved or replaced while this was running" in command.said
    assert not (folder / "results").exists()
    assert nursery.run(folder, "--db", "kept/a.db", *RESUME).code == 0
    assert fingerprint(folder / "kept") == undisturbed_training
    TALLY["folders renamed under a writer"] += 1


def test_a_results_folder_that_is_renamed_during_a_benchmark_is_said_and_the_rest_is_run_there(
    nursery: Nursery, folder: Path
) -> None:
    (folder / "results").mkdir()
    bench = ("bench", "--spec", "bench.toml", "--only", "*/adam")
    command = nursery.start(folder, "--db", "results/a.db", *bench, faults="slow")
    wait_until(lambda: running_cells(folder / "results") > 0)
    (folder / "results").rename(folder / "kept")
    assert command.wait() == 3, command.said
    assert not (folder / "results").exists()
    assert nursery.run(folder, "--db", "kept/a.db", *bench).code == 0
    TALLY["folders renamed under a writer"] += 1


def test_two_names_of_one_file_are_not_written_for_each_would_have_its_own_log(
    nursery: Nursery, half: Path
) -> None:
    (half / "b.db").hardlink_to(half / "a.db")
    before = files(half)
    for name in ("a.db", "b.db"):
        for command in (TRAIN_COMMAND, ("db", "migrate"), ("runs", "rm", "1", "--yes")):
            refused = nursery.run(half, "--db", name, *command)
            assert refused.code == 3, refused.said
            assert "has a second name (a hard link)" in refused.said
    assert files(half) == before
    (half / "b.db").unlink()
    assert nursery.run(half, *RESUME).code == 0


def test_two_copies_of_a_database_do_not_write_one_folder_of_checkpoints_at_once(
    nursery: Nursery, half: Path
) -> None:
    with folder_lock(checkpoint_folder(half)):
        refused = nursery.run(half, *RESUME)
    assert refused.code == 3
    assert "another process is writing these checkpoints" in refused.said
    assert nursery.run(half, *RESUME).code == 0


def test_a_training_of_schema_1_keeps_its_folder_whatever_its_database_is_called_later(
    nursery: Nursery, half: Path, undisturbed_training: str
) -> None:
    as_schema_1(half)
    assert nursery.run(half, "db", "migrate").code == 0
    (half / "a.db").rename(half / "mine.db")
    assert nursery.run(half, "--db", "mine.db", *RESUME).code == 0
    (half / "mine.db").rename(half / "a.db")
    assert fingerprint(half) == undisturbed_training


def test_a_training_of_schema_1_renamed_before_it_kept_a_checkpoint_is_refused_until_it_has_its_name_again(
    nursery: Nursery, half: Path, undisturbed_training: str
) -> None:
    as_schema_1(half)
    sql(half / "a.db", "DELETE FROM checkpoint")
    (half / "a.db").rename(half / "mine.db")
    assert nursery.run(half, "--db", "mine.db", "db", "migrate").code == 0
    said = assert_refused(nursery, half, "--db", "mine.db", *RESUME, says="Give the file its old name")
    assert "--from-scratch" in said
    (half / "mine.db").rename(half / "a.db")
    assert nursery.run(half, *RESUME).code == 0
    assert fingerprint(half) == undisturbed_training


def as_schema_1(folder: Path) -> None:
    """Makes of a folder what the version before wrote."""
    with Reader.open(folder / "a.db") as reader:
        (experiment,) = reader.experiments()
        (run,) = reader.runs(experiment.id)
    owner = content_hash(["a.db", experiment.id, experiment.created_utc])
    old = f"checkpoints/{run.facts.key[:16]}-{owner[:8]}"
    checkpoint_folder(folder).rename(folder / old)
    sql(
        folder / "a.db",
        f"UPDATE checkpoint SET path = replace(path, '{experiment.folder}', '{old}')",
        "ALTER TABLE experiment DROP COLUMN folder",
        "ALTER TABLE run DROP COLUMN node",
        "DELETE FROM _sqlite_migrations WHERE name IN ('m002_checkpoint_folders', 'm003_nodes')",
        "PRAGMA user_version = 1",
    )


@pytest.mark.parametrize("command", [TRAIN_COMMAND, RESUME])
def test_a_training_that_was_killed_before_its_run_was_queued_is_begun_again(
    nursery: Nursery, half: Path, undisturbed_training: str, command: tuple[str, ...]
) -> None:
    shutil.rmtree(checkpoint_folder(half))
    sql(half / "a.db", *(f"DELETE FROM {table}" for table in ("chunk", "checkpoint", "run")))
    assert nursery.run(half, *command).code == 0
    assert fingerprint(half) == undisturbed_training
    assert nursery.run(half, "db", "check").code == 0
