"""SIGTERM and Ctrl+C: in time, with the right exit code, no child left and the terminal as it was."""

import contextlib
import signal
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_tools import (
    BENCH,
    TRAIN,
    Command,
    Nursery,
    checkpoint_folder,
    children_of,
    committed,
    fingerprint,
    is_alive,
    prepare,
    running_cells,
    statuses,
    table,
    wait_until,
)
from pseudo_terminal import HIDE_CURSOR, SHOW_CURSOR, Terminal

from rnnprop_cli.runs.snapshots import latest_snapshot
from rnnprop_cli.store.reader import Reader

COMMANDS = {
    "train": ("train", "--spec", "train.toml"),
    "bench": ("bench", "--spec", "bench.toml"),
    "two slots": ("bench", "--spec", "bench.toml", "--slots", "2"),
}


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def start(nursery: Nursery, folder: Path, what: str, terminal: str = "") -> tuple[Command, list[int]]:
    """A command that is amid its work, and its children."""
    command = nursery.start(folder, *COMMANDS[what], faults="slow", terminal=terminal)
    expected = 2 if what == "two slots" else 0
    wait_until(lambda: running_cells(folder) > 0 and len(children_of(command.pid)) == expected)
    time.sleep(0.2)
    return command, children_of(command.pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("what", COMMANDS)
def test_one_signal_stops_in_order(nursery: Nursery, folder: Path, what: str, number: int) -> None:
    command, children = start(nursery, folder, what)
    asked = time.monotonic()
    command.send(number)
    assert command.wait() == 128 + number
    assert time.monotonic() - asked < 10
    assert not any(map(is_alive, children))
    assert "running" not in statuses(folder)
    assert what == "bench" or "interrupted" in statuses(folder)  # one batch may just have been finished
    assert "Traceback" not in command.said
    assert "go on with" in command.said if what == "train" else "the same command goes on" in command.said


@pytest.mark.parametrize("number", [signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2])
def test_what_a_queue_of_jobs_sends_before_it_kills_saves_and_ends(
    nursery: Nursery, folder: Path, undisturbed_training: str, number: int
) -> None:
    command, _ = start(nursery, folder, "train")
    command.send(number)
    assert command.wait() == 128 + number
    assert "go on with" in command.said
    assert statuses(folder) == ["interrupted"]
    assert nursery.run(folder, *COMMANDS["train"]).code == 0
    assert fingerprint(folder) == undisturbed_training


def test_a_stopped_benchmark_goes_on_to_the_same_table(
    nursery: Nursery, folder: Path, undisturbed_table: dict[str, tuple[object, ...]]
) -> None:
    command, _ = start(nursery, folder, "bench")
    command.send(signal.SIGTERM)
    command.wait()
    before = committed(folder)
    assert nursery.run(folder, *COMMANDS["bench"]).code == 0
    now = committed(folder)
    assert {key: now[key] for key in before} == before
    assert table(folder) == undisturbed_table


def test_a_stopped_meta_training_has_saved_where_it_was_and_goes_on_to_the_same_bits(
    nursery: Nursery, folder: Path, undisturbed_training: str
) -> None:
    command, _ = start(nursery, folder, "train")
    command.send(signal.SIGTERM)
    command.wait()
    snapshot = latest_snapshot(checkpoint_folder(folder))
    assert snapshot is not None
    assert f"stopped after {snapshot.meta_iteration} meta-iterations" in command.said
    assert nursery.run(folder, "train", "--resume", "tiny").code == 0
    assert fingerprint(folder) == undisturbed_training


@pytest.mark.parametrize("what", ["train", "two slots"])
def test_ctrl_c_twice_is_out_at_once_and_the_terminal_is_as_it_was(
    nursery: Nursery, tmp_path: Path, terminal: Terminal, what: str
) -> None:
    # One step takes for ever, so that the first Ctrl+C alone would not end it in time.
    long_steps = "slow " * 6
    folder = prepare(
        tmp_path / "work", BENCH.replace("= 8", "= 9"), TRAIN.replace("horizon = 8", "horizon = 4000")
    )
    command = nursery.start(folder, *COMMANDS[what], faults=long_steps, terminal=terminal.name)
    wait_until(lambda: running_cells(folder) > 0)
    time.sleep(0.3)
    children = children_of(command.pid)
    terminal.type(b"\x03")
    time.sleep(0.1)
    asked = time.monotonic()
    with contextlib.suppress(OSError):
        terminal.type(b"\x03")
    assert command.wait() == 130
    assert time.monotonic() - asked < 2
    wait_until(
        lambda: not any(map(is_alive, children)), 2
    )  # killed, and the system takes its time to bury them
    assert termios.tcgetattr(terminal.slave) == terminal.before
    time.sleep(0.2)
    assert bytes(terminal.shown).count(HIDE_CURSOR) == 1
    assert bytes(terminal.shown).rfind(SHOW_CURSOR) > bytes(terminal.shown).rfind(HIDE_CURSOR)
    assert b"Traceback" not in terminal.shown


def test_ctrl_c_on_the_terminal_reaches_workers_that_are_just_starting_only_through_the_driver(
    nursery: Nursery, folder: Path, terminal: Terminal
) -> None:
    command = nursery.start(folder, *COMMANDS["two slots"], terminal=terminal.name)
    wait_until(lambda: len(children_of(command.pid)) == 2)
    children = children_of(command.pid)
    terminal.type(b"\x03")
    assert command.wait() == 130
    assert not any(map(is_alive, children))
    time.sleep(0.1)
    assert b"KeyboardInterrupt" not in terminal.shown
    with Reader.open(folder / "a.db") as reader:
        assert {run.result.status for run in reader.runs(1)} <= {"queued"}


@pytest.mark.parametrize("arguments", [*COMMANDS.values(), ("spec", "check", "bench.toml")])
def test_a_signal_of_which_a_library_makes_another_error_is_still_that_signal(
    nursery: Nursery, folder: Path, arguments: tuple[str, ...]
) -> None:
    command = nursery.run(folder, *arguments, faults="turned_signal")
    assert command.code == 143, command.said
    assert "fault of rnnprop" not in command.said
    assert not (folder / "a.db").exists()
