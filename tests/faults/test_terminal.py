"""The app and the commands on a terminal, and signals at any moment: afterwards the terminal is as it was."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_tools import BENCH, ROOT, TALLY, Nursery, prepare, running_cells, statuses, wait_until
from pseudo_terminal import OTHER_SCREEN, Terminal

ENDING = [signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


NOT_HEARD = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"  # as under nohup


def start(terminal: Terminal, folder: Path, *arguments: str, before: str = "") -> subprocess.Popen[bytes]:
    """A command in the foreground of the terminal, from the first instruction of Python on."""
    boot = (
        "import os, sys; os.setsid(); fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "for n in range(3): os.dup2(fd, n)\n"
        "os.close(fd); os.execv(sys.executable, [sys.executable, '-m', 'rnnprop_cli', *sys.argv[2:]])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "RNNPROP_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-S", "-c", before + boot, terminal.name, *arguments], cwd=folder, env=environment
    )


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_while_the_app_draws_restores_the_terminal(
    terminal: Terminal, folder: Path, number: int
) -> None:
    app = start(terminal, folder, "--db", "a.db", "tui")
    wait_until(lambda: OTHER_SCREEN in terminal.shown)
    if number != signal.SIGTERM:  # which comes while the first screen is made
        wait_until(lambda: b"there is no database" in terminal.shown)
    for key in b"?\x1b123456":  # it draws
        terminal.type(bytes([key]))
    app.send_signal(number)
    assert app.wait(20) == 128 + number
    terminal.assert_as_before()
    TALLY["signals to the app"] += 1


@pytest.mark.parametrize("count", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_a_signal_at_any_moment_of_a_start_restores_the_terminal(tmp_path: Path, count: int) -> None:
    draw = random.Random(count)
    commands = (("tui",), ("tui",), ("runs", "list"), ("bench", "--spec", "bench.toml", "--threads", "1"))
    for number in range(count):
        folder = prepare(tmp_path / str(number), BENCH.replace("seeds = 2\nh", "seeds = 200\nh"))
        terminal = Terminal()
        try:
            command = start(terminal, folder, *commands[number % len(commands)])
            time.sleep(draw.uniform(0.05, 1.0 if count < 10 else 4.0))
            sent = draw.choice([*ENDING, signal.SIGINT])
            command.send_signal(sent)
            # Negative: Python itself had not begun. 0: `runs list` was done. 3: there is no database to list.
            assert command.wait(20) in (128 + sent, -sent, 0, 3), bytes(terminal.shown)[-2000:]
            terminal.assert_as_before()
        finally:
            terminal.close()
        TALLY["signals at a start"] += 1


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "not heard"])
def test_a_hung_up_terminal_ends_the_app(folder: Path, heard: bool) -> None:
    terminal = Terminal()
    app = start(terminal, folder, "--db", "a.db", "tui", before="" if heard else NOT_HEARD)
    wait_until(lambda: OTHER_SCREEN in terminal.shown)
    terminal.close()
    assert app.wait(20) in (129, 0, 1)
    TALLY["terminals that went"] += 1


@pytest.mark.parametrize("what", ["train", "bench"])
def test_a_hung_up_terminal_makes_a_run_save_and_end_and_it_goes_on_afterwards(
    nursery: Nursery, folder: Path, what: str
) -> None:
    arguments = (what, "--spec", f"{what}.toml")
    terminal = Terminal()
    command = nursery.start(folder, *arguments, faults="slow", terminal=terminal.name)
    wait_until(lambda: running_cells(folder) > 0)
    time.sleep(0.3)
    terminal.close()
    assert command.wait() == 129
    assert "running" not in statuses(folder)
    assert nursery.run(folder, *arguments).code == 0
    TALLY["terminals that went"] += 1


def test_what_was_started_not_to_hear_a_hang_up_does_not(folder: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RNNPROP_THREADS": "1",
        "RNNPROP_KERNEL": "reference",
    }
    with (folder / "output.txt").open("w") as output:
        command = subprocess.Popen(
            ["nohup", sys.executable, "-m", "rnnprop_cli", "--db", "a.db", "bench", "--spec", "bench.toml"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    wait_until(lambda: running_cells(folder) > 0 or command.poll() is not None)
    command.send_signal(signal.SIGHUP)
    assert command.wait(60) == 0
