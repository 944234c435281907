"""kill -9 at any moment: nothing that was recorded is lost or done again, and the end is the same to the bit."""

import random
import signal
import time
from pathlib import Path

import pytest
from fault_tools import (
    BENCH_COMMAND,
    LARGEST_BATCH,
    ROLLING,
    TALLY,
    TRAIN_COMMAND,
    Nursery,
    checkpoint_folder,
    committed,
    fingerprint,
    prepare,
    statuses,
    table,
)

from rnnprop_cli.records import TRAIN_LOSS
from rnnprop_cli.runs.snapshots import latest_snapshot
from rnnprop_cli.runs.soundness import check_all
from rnnprop_cli.store.reader import Reader

FEW, MANY = 4, 20


def times(kills: int) -> list[object]:
    return [pytest.param(kills, marks=pytest.mark.slow if kills == MANY else ())]


KILLS = [*times(FEW), *times(MANY)]


def kill_somewhere(nursery: Nursery, folder: Path, command: tuple[str, ...], after_s: float) -> bool:
    """Starts the command and kills it after a while; whether it was still running."""
    running = nursery.start(folder, *command)
    time.sleep(after_s)
    running.send(signal.SIGKILL)
    amid = running.wait() == -signal.SIGKILL
    TALLY[f"kill -9 of {command[0]} at work"] += amid
    return amid


def duration_of(nursery: Nursery, folder: Path, command: tuple[str, ...]) -> float:
    return nursery.run(prepare(folder), *command).seconds


def meta_iterations_recorded(folder: Path) -> int:
    with Reader.open(folder / "a.db") as reader:
        (run,) = reader.runs(reader.find_experiment("tiny").id)
        return max([0, *reader.curve(run.id, TRAIN_LOSS)[0].tolist()])


@pytest.mark.parametrize("kills", KILLS)
def test_a_meta_training_killed_at_seeded_moments_goes_on_to_the_same_bits(
    nursery: Nursery, tmp_path: Path, undisturbed_training: str, kills: int
) -> None:
    draw = random.Random(7)
    whole = duration_of(nursery, tmp_path / "timed", TRAIN_COMMAND)
    amid = 0
    for number in range(kills):
        folder = prepare(tmp_path / str(number))
        was_running = kill_somewhere(nursery, folder, TRAIN_COMMAND, draw.uniform(0, whole))
        amid += was_running
        if was_running and (folder / "checkpoints").exists():
            snapshot = latest_snapshot(checkpoint_folder(folder))
            reached = 0 if snapshot is None else snapshot.meta_iteration
            assert reached >= meta_iterations_recorded(folder) - ROLLING
        command = nursery.run(folder, *TRAIN_COMMAND)
        assert command.code == 0, command.said
        assert fingerprint(folder) == undisturbed_training
        found = check_all(folder / "a.db")
        assert (found.counts.checkpoints, found.problems) == (2, ())
        assert not [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".new"))]
    assert amid >= kills // 2


@pytest.mark.parametrize("kills", KILLS)
def test_a_benchmark_killed_at_seeded_moments_loses_and_repeats_no_committed_cell(
    nursery: Nursery, tmp_path: Path, undisturbed_table: dict[str, tuple[object, ...]], kills: int
) -> None:
    draw = random.Random(8)
    whole = duration_of(nursery, tmp_path / "timed", BENCH_COMMAND)
    amid = 0
    for number in range(kills):
        folder = prepare(tmp_path / str(number))
        before: dict[str, tuple[str, str | None, float | None]] = {}
        for _ in range(2):  # killed, taken up again and killed again
            amid += kill_somewhere(nursery, folder, BENCH_COMMAND, draw.uniform(0, whole))
            now = committed(folder)
            assert {key: now[key] for key in before} == before
            before = now
        in_flight = statuses(folder).count("running") if (folder / "a.db").exists() else 0
        assert in_flight <= LARGEST_BATCH  # one slot
        command = nursery.run(folder, *BENCH_COMMAND)
        assert command.code == 0, command.said
        now = committed(folder)
        assert {key: now[key] for key in before} == before
        assert table(folder) == undisturbed_table
        assert check_all(folder / "a.db").problems == ()
    assert amid >= kills


def test_a_killed_first_start_leaves_nothing_in_the_way(nursery: Nursery, tmp_path: Path) -> None:
    for number in range(4):
        folder = prepare(tmp_path / str(number))
        kill_somewhere(nursery, folder, BENCH_COMMAND, 0.02 * number)
        command = nursery.run(folder, *BENCH_COMMAND, "--only", "*/momentum")
        assert command.code == 0, command.said
        assert not (folder / "a.db.new").exists()
