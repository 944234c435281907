"""A compiler that hangs, crashes or runs four times at once ends and misleads no command."""

import os
import signal
import sys
from pathlib import Path

import pytest
from fault_tools import (
    TALLY,
    is_alive,
    wait_until,
)
from kernel_files import (
    copying_compiler,
    finish_look,
    found_in,
    look,
    start_look,
    write_compiler,
)

from rnnprop_cli.kernels import compiler
from rnnprop_cli.kernels.kept import KeptKernel

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and mounts disks")


SLEEPS = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
pathlib.Path({pids!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
{then}
"""


@pytest.fixture
def sleeping(tmp_path: Path) -> tuple[str, Path]:
    """A compiler that forks a child and hangs, and the file of their pids."""
    pids = tmp_path / "pids"
    path = write_compiler(tmp_path / "cxx", SLEEPS.format(pids=str(pids), then="time.sleep(1000)"))
    return str(path), pids


def pids_in(path: Path) -> list[int]:
    return [int(pid) for pid in path.read_text().split()]


def test_a_compiler_that_hangs_is_told_of_and_ended_with_its_children(
    cache: Path, sleeping: tuple[str, Path]
) -> None:
    command, pids = sleeping
    assert compiler.TOLD_AFTER_S == 5
    found = look(cache, 1.5, CXX=command)
    assert found.origin == "none"
    assert "within 2 s" in found.text
    assert found.said.count("\n") == 1
    assert "is compiling the fast CPU kernel" in found.said
    started = pids_in(pids)
    assert len(started) == 2
    assert not any(is_alive(pid) for pid in started)
    pids.unlink()
    again = look(cache, 1.5, CXX=command)  # not waited for a second time
    assert again.origin == "none"
    assert ".refused" in again.text
    assert not pids.exists()
    TALLY["compilers that hang"] += 1


def test_ctrl_c_ends_the_compiler_with_its_children(cache: Path, sleeping: tuple[str, Path]) -> None:
    command, pids = sleeping
    process = start_look(cache, CXX=command)
    wait_until(lambda: pids.exists() and len(pids_in(pids)) == 2)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode != 0
    wait_until(lambda: not any(is_alive(pid) for pid in pids_in(pids)), 5)
    TALLY["compilers that hang"] += 1


def test_a_child_that_outlives_its_compiler_is_not_waited_for(
    cache: Path, tmp_path: Path, library: Path
) -> None:
    pids = tmp_path / "pids"
    then = f"pathlib.Path(sys.argv[-1]).write_bytes(pathlib.Path({str(library)!r}).read_bytes())"
    command = write_compiler(tmp_path / "cxx", SLEEPS.format(pids=str(pids), then=then))
    assert look(cache, CXX=str(command)).origin == "compiled now"
    assert not any(is_alive(pid) for pid in pids_in(pids))


def test_a_library_that_crashes_in_its_trial_ends_no_command(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "crash.cpp"
    source.write_text("__attribute__((constructor)) void run() { __builtin_trap(); }")
    real = compiler.find_compiler()[0]
    program = (
        f"sys.exit(subprocess.call([{real!r}, '-shared', '-fPIC', {str(source)!r}, '-o', sys.argv[-1]]))"
    )
    found = look(cache, CXX=str(write_compiler(tmp_path / "cxx", program)))
    assert found.origin == "none"
    assert f"ends a process by signal {signal.SIGILL.value}" in found.text
    assert not list((cache / "kernels").glob("*.so"))


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks"])
def test_four_first_compilations_at_once_give_one_sound_kernel(
    cache: Path, tmp_path: Path, library: Path, locks: bool
) -> None:
    calls = tmp_path / "calls"
    command = copying_compiler(tmp_path / "cxx", library, calls, seconds=2)
    four = [start_look(cache, locks=locks, CXX=command) for _ in range(4)]
    found = [finish_look(process) for process in four]
    assert {each.origin for each in found} <= {"compiled now", "from the cache"}
    assert len({each.text for each in found}) == 1
    if locks:
        assert [each.origin for each in found].count("compiled now") == 1
        assert calls.read_text() == "x"
    folder = cache / "kernels"
    assert [type(each) for each in found_in(folder)] == [KeptKernel]
    assert not list(folder.glob(".*"))
    TALLY["first compilations at once"] += 4


@pytest.mark.slow
def test_four_real_compilations_at_once(cache: Path) -> None:
    found = [finish_look(process) for process in [start_look(cache) for _ in range(4)]]
    assert sorted(each.origin for each in found) == ["compiled now", *["from the cache"] * 3]
    TALLY["first compilations at once"] += 4


def test_a_process_killed_amid_compiling_leaves_nothing_that_matters(
    cache: Path, sleeping: tuple[str, Path], library: Path, tmp_path: Path
) -> None:
    command, pids = sleeping
    process = start_look(cache, CXX=command)
    wait_until(lambda: pids.exists() and len(pids_in(pids)) == 2)
    process.kill()
    process.communicate()
    for pid in pids_in(pids):
        os.kill(pid, signal.SIGKILL)
    (cache / "kernels" / ".old.tmp").touch()
    os.utime(cache / "kernels" / ".old.tmp", (0, 0))
    assert look(cache, CXX=copying_compiler(tmp_path / "copy", library)).origin == "compiled now"
    assert not list((cache / "kernels").glob(".*"))
