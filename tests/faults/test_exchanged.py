"""What is not what it was when a run began: its data, its spec, the clock, the machine's name, the write-ahead log."""

import random
import signal
import time
from pathlib import Path

import pytest
from fault_tools import (
    BENCH,
    BENCH_COMMAND,
    TALLY,
    TRAIN,
    TRAIN_COMMAND,
    Nursery,
    committed,
    fingerprint,
    prepare,
    running_cells,
    statuses,
    table,
    wait_until,
)

from rnnprop_cli.records import TRAIN_LOSS
from rnnprop_cli.runs.soundness import check_all
from rnnprop_cli.store.reader import Reader

RECORDS = 60
ONE_LANE = (*BENCH_COMMAND, "--only", "*/momentum", "--data-dir", "data")
TRAIN_ON = (*TRAIN_COMMAND, "--data-dir", "data")
RESUME = ("train", "--resume", "tiny", "--data-dir", "data")


def write_data(folder: Path, seed: int) -> None:
    """A CIFAR-10 of a few images; which ones, nothing but their bytes says."""
    draw, place = random.Random(seed), folder / "data" / "cifar10"
    place.mkdir(parents=True, exist_ok=True)
    for name in ("data_batch_1.bin", "test_batch.bin"):
        records = [bytes([draw.randrange(10)]) + draw.randbytes(3072) for _ in range(RECORDS)]
        (place / name).write_bytes(b"".join(records))


@pytest.fixture
def on_files(tmp_path: Path) -> Path:
    """A folder with both specs and the data that they name."""
    of_files = [text.replace('dataset = "digits"', 'dataset = "cifar10"') for text in (BENCH, TRAIN)]
    folder = prepare(tmp_path / "on_files", *of_files)
    write_data(folder, 1)
    return folder


def experiments(folder: Path) -> dict[int, list[str]]:
    """The hashes of the data of every benchmark."""
    with Reader.open(folder / "a.db") as reader:
        return {
            each.id: sorted(reader.dataset_hashes(each.id)["cifar10"])
            for each in reader.experiments(kind="bench")
        }


def test_a_benchmark_goes_on_only_with_the_data_it_was_begun_with_and_never_mixes_two(
    nursery: Nursery, on_files: Path
) -> None:
    assert nursery.run(on_files, *ONE_LANE).code == 0
    first = committed(on_files)
    write_data(on_files, 2)
    other = nursery.run(on_files, *ONE_LANE)
    assert other.code == 0
    assert "cifar10: other data than 'small' (id 1) was made with" in " ".join(other.said.split())
    assert [len(each) for each in experiments(on_files).values()] == [1, 1]
    assert len(committed(on_files)) == 2 * len(first)
    write_data(on_files, 1)  # put back
    again = nursery.run(on_files, *ONE_LANE)
    assert f"{len(first)} cells, 0 run now" in again.said
    assert len(experiments(on_files)) == 2
    with Reader.open(on_files / "a.db") as reader:
        assert reader.find_experiment("small").id == 1  # what a report shows
    TALLY["exchanged datasets"] += 2


@pytest.mark.parametrize("slots", ["1", "2"])
def test_data_that_are_exchanged_while_a_benchmark_runs_give_no_result(
    nursery: Nursery, on_files: Path, slots: str
) -> None:
    command = nursery.run(on_files, *ONE_LANE, "--slots", slots, faults="data_exchanged_before_first_batch")
    assert command.code == 4, command.said
    assert "were exchanged while this was running" in command.said
    assert committed(on_files) == {}
    TALLY["exchanged datasets"] += 1


def test_data_that_are_exchanged_as_a_meta_training_begins_give_no_result(
    nursery: Nursery, on_files: Path
) -> None:
    command = nursery.run(on_files, *TRAIN_ON, faults="data_exchanged_before_first_batch")
    assert command.code == 4, command.said
    assert "were exchanged while this was running" in command.said
    TALLY["exchanged datasets"] += 1


def test_a_meta_training_does_not_go_on_with_other_data(nursery: Nursery, on_files: Path) -> None:
    assert nursery.run(on_files, *TRAIN_ON, faults="no_room_from_13").code == 3
    write_data(on_files, 2)
    for command in (RESUME, (*RESUME, "--allow-inexact")):
        refused = nursery.run(on_files, *command)
        assert refused.code == 2, refused.said
        assert "dataset_sha256 was" in refused.said
        TALLY["exchanged datasets"] += 1
    write_data(on_files, 1)
    assert nursery.run(on_files, *RESUME).code == 0


def test_a_spec_that_was_edited_since_is_another_experiment_and_resume_takes_the_recorded_one(
    nursery: Nursery, folder: Path, undisturbed_training: str
) -> None:
    assert nursery.run(folder, *TRAIN_COMMAND, faults="no_room_from_13").code == 3
    (folder / "train.toml").write_text(TRAIN.replace("random_scaling = 3.0", "random_scaling = 2.0"))
    assert nursery.run(folder, "train", "--resume", "tiny").code == 0
    assert fingerprint(folder) == undisturbed_training
    assert nursery.run(folder, *TRAIN_COMMAND).code == 0
    with Reader.open(folder / "a.db") as reader:
        runs = [reader.runs(each.id)[0] for each in reader.experiments(kind="train")]
        curves = [reader.curve(run.id, TRAIN_LOSS)[1].tolist() for run in runs]
    assert len(curves) == 2
    assert curves[0] != curves[1]
    assert check_all(folder / "a.db").problems == ()


@pytest.mark.parametrize("fault", ["clock_set_back", "other_host"])
def test_another_clock_and_another_name_of_the_machine_change_nothing(
    nursery: Nursery,
    folder: Path,
    undisturbed_table: dict[str, tuple[object, ...]],
    undisturbed_training: str,
    fault: str,
) -> None:
    for command in (BENCH_COMMAND, TRAIN_COMMAND):
        started = nursery.start(folder, *command, faults="slow")
        name = "small" if command == BENCH_COMMAND else "tiny"
        wait_until(lambda: running_cells(folder) > 0)
        time.sleep(0.5)
        started.send(signal.SIGKILL)
        started.wait()
        before = committed(folder)
        again = nursery.run(folder, *command, faults=fault)
        assert again.code == 0, again.said
        assert {key: committed(folder)[key] for key in before} == before
        with Reader.open(folder / "a.db") as reader:
            assert len(reader.experiments(name=name)) == 1
            runs = reader.runs(reader.find_experiment(name).id)
        assert all((run.result.elapsed_s or 0) >= 0 for run in runs)
    assert table(folder) == undisturbed_table
    assert fingerprint(folder) == undisturbed_training


def test_a_write_ahead_log_that_is_deleted_under_a_writer_and_a_reader_is_said_and_costs_nothing(
    nursery: Nursery, folder: Path, undisturbed_table: dict[str, tuple[object, ...]]
) -> None:
    command = nursery.start(folder, *BENCH_COMMAND, faults="slow")
    wait_until(lambda: len(committed(folder)) > 0)
    with Reader.open(folder / "a.db") as reader:
        seen = [run for run in reader.runs(1) if run.result.status == "done"]
        for side in ("-wal", "-shm"):
            (folder / f"a.db{side}").unlink()
        again = [run for run in reader.runs(1) if run.result.status == "done"]
        assert again[: len(seen)] == seen
    assert command.wait() == 3, command.said
    assert "a.db-wal: was deleted or replaced while this was running" in command.said
    assert len(committed(folder)) >= len(seen)
    assert nursery.run(folder, *BENCH_COMMAND).code == 0
    assert table(folder) == undisturbed_table
    assert check_all(folder / "a.db").problems == ()
    assert "running" not in statuses(folder)
