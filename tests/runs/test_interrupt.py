"""Signals amid the loading of a library, whose native code may abort the process on an exception from a handler."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

NATIVE = """
import os, time
print("loading", flush=True)
until = time.monotonic() + {seconds}
try:
    while time.monotonic() < until:
        pass
except BaseException:
    os._exit(99)
print("loaded", flush=True)
"""
PROGRAM = """
import sys
from rnnprop_cli.runs import interrupt
interrupt.LOADING_AT_MOST = {most}
interrupt.unwind_on_signals()
try:
    import native
    while True:
        pass
finally:
    print("unwound", flush=True)
"""


def started(folder: Path, seconds: float, most: float = 10.0) -> subprocess.Popen[str]:
    """A program amid the import of a module which takes so long."""
    (folder / "native.py").write_text(NATIVE.format(seconds=seconds))
    (folder / "program.py").write_text(PROGRAM.format(most=most))
    program = subprocess.Popen([sys.executable, "program.py"], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "loading\n"
    return program


@pytest.mark.parametrize("number", [2, 3, 15])
def test_a_signal_waits_until_a_library_is_loaded_and_then_unwinds(tmp_path: Path, number: int) -> None:
    program = started(tmp_path, seconds=0.4)
    program.send_signal(number)
    assert program.communicate(timeout=20)[0] == "loaded\nunwound\n"
    assert program.returncode == (
        -2 if number == 2 else 128 + number
    )  # nobody catches KeyboardInterrupt here


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    program = started(tmp_path, seconds=60)
    program.send_signal(15)
    time.sleep(0.1)
    program.send_signal(15)
    assert program.wait(10) == 99


def test_a_loading_without_end_is_left_in_time(tmp_path: Path) -> None:
    program = started(tmp_path, seconds=60, most=0.2)
    program.send_signal(15)
    assert program.wait(10) == 99
