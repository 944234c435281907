"""A damaged, foreign or missing compiled kernel, and a compiler that misbehaves, never end or mislead a command."""

import os
import random
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_tools import (
    BENCH_COMMAND,
    TALLY,
    Nursery,
    committed,
    is_alive,
    prepare,
    statuses,
    wait_until,
)
from kernel_files import (
    copying_compiler,
    environment,
    finish_look,
    look,
    put_kernel,
    start_look,
    write_compiler,
)
from test_full_disk import try_mount

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import compiler, kept
from rnnprop_cli.kernels.instructions import host_instructions
from rnnprop_cli.kernels.kept import KeptKernel, KernelFolder, read_kernels

STRANGER = 12345
NO_COMPILER = {"PATH": "", "CXX": ""}
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and mounts disks")
root = pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def found_in(folder: Path) -> list[KeptKernel | str]:
    (stem,) = {path.name.rsplit("-", 1)[0] for path in folder.glob("*.so")}
    return list(read_kernels(folder, stem, ours=True))


# In one process of its own, which must live to tell: every damage is met without a compiler.
MEET_DAMAGE = """
import json, pathlib, sys
from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import obtain
obtain.host_instructions = lambda: sys.argv[2]
path = pathlib.Path(sys.argv[1])
whole, found = path.read_bytes(), []
for length, bit in json.loads(sys.stdin.read()):
    content = bytearray(whole[:length])
    if bit is not None:
        content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    try:
        found.append(obtain.obtain_kernel().origin)
    except DeviceError as error:
        found.append("damaged" if "is damaged" in str(error) else str(error))
path.write_bytes(whole)
print(json.dumps([found, obtain.obtain_kernel().origin]))
"""


def test_a_file_cut_off_or_with_one_bit_flipped_is_never_loaded(cache: Path, library: Path) -> None:
    import json

    path = put_kernel(cache, library)
    size, rng = path.stat().st_size, random.Random(0)
    cuts = [0, 1, 63, 64, 4095, 4096, 4097, size // 2, size - 1, *(rng.randrange(size) for _ in range(191))]
    flips = [0, 8 * size - 1, *(rng.randrange(8 * size) for _ in range(198))]
    damages = [[cut, None] for cut in cuts] + [[size, bit] for bit in flips]
    done = subprocess.run(
        [sys.executable, "-c", MEET_DAMAGE, str(path), host_instructions()],
        input=json.dumps(damages),
        env=environment(cache, **NO_COMPILER),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    found, origin = json.loads(done.stdout)
    assert found == ["damaged"] * len(damages)
    assert origin == "from the cache"
    TALLY["damaged kernel files (cut or one bit flipped)"] += len(damages)


def test_a_file_that_is_cut_off_while_it_is_in_use_ends_nobody(cache: Path, library: Path) -> None:
    path = put_kernel(cache, library)
    program = f"""
import os
from rnnprop_cli.kernels import obtain
from rnnprop_cli.kernels.cpu_self_check import problem_of
obtain.host_instructions = lambda: {host_instructions()!r}
kernel = obtain.obtain_kernel()
os.truncate({str(path)!r}, 0)
assert problem_of(kernel.library) is None
"""
    done = subprocess.run([sys.executable, "-c", program], env=environment(cache, **NO_COMPILER))
    assert done.returncode == 0
    TALLY["kernel files cut off in use"] += 1


def test_a_damaged_file_is_compiled_anew_once_and_said_in_one_line(cache: Path, library: Path) -> None:
    path = put_kernel(cache, library)
    os.truncate(path, 50_000)
    found = look(cache, CXX=copying_compiler(cache.parent / "cxx", library))
    assert found.origin == "compiled now"
    assert f"{path} is damaged" in found.said
    assert look(cache, **NO_COMPILER)[::2] == ("from the cache", "")


EVIL = """
#include <cstdio>
__attribute__((constructor)) void run() { std::fclose(std::fopen("%s", "w")); }
"""


@pytest.fixture
def evil(cache: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A library in the cache that leaves a trace as soon as it is loaded, and the trace."""
    trace, source, built = tmp_path / "trace", tmp_path / "evil.cpp", tmp_path / "evil.so"
    source.write_text(EVIL % trace)
    try:
        command = compiler.find_compiler()
    except DeviceError as error:
        pytest.skip(str(error))
    subprocess.run([*command, "-shared", "-fPIC", str(source), "-o", str(built)], check=True)
    return put_kernel(cache, built), trace


def test_the_evil_library_would_leave_its_trace(cache: Path, evil: tuple[Path, Path]) -> None:
    """What the tests below rely on: our own file of that name is loaded."""
    found = look(cache, **NO_COMPILER)
    assert found.origin == "none"
    assert "rnnprop_" in found.text  # it lacks our functions
    assert evil[1].exists()


def _to_a_stranger(path: Path) -> None:
    os.chown(path, STRANGER, STRANGER)


def _with_mode(mode: int) -> Callable[[Path], None]:
    return lambda path: path.chmod(mode)


def _with_access_list(path: Path) -> None:
    """Lets one other user write, by an access list."""
    entries = ((0x01, 6, -1), (0x02, 6, STRANGER), (0x04, 4, -1), (0x10, 6, -1), (0x20, 4, -1))
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e[:2], e[2] & 0xFFFFFFFF) for e in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", packed)
    except OSError:
        pytest.skip("no access lists on this file system")


def _as_symlink(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_sparse_giant(path: Path) -> None:
    os.truncate(path, 1 << 40)


@root
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_to_a_stranger, f"belongs to user {STRANGER}"),
        (_with_mode(0o666), "can be written by others (mode 666)"),
        (_with_mode(0o620), "can be written by others (mode 620)"),
        (_with_access_list, "can be written by others"),
        (_as_symlink, "is a symbolic link"),
        (_as_pipe, "is not a regular file"),
        (_as_folder, "cannot be read (Is a directory)"),
        (_as_sparse_giant, "is not a regular file of a sane size"),
    ],
)
def test_a_file_that_may_be_somebody_elses_is_not_loaded(
    cache: Path, evil: tuple[Path, Path], spoil: Callable[[Path], None], said: str
) -> None:
    path, trace = evil
    spoil(path)
    found = look(cache, **NO_COMPILER)
    assert found.origin == "none"
    assert said in found.text
    assert "\n" not in found.text
    assert not trace.exists()
    TALLY["kernel files and folders of others"] += 1


@root
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_to_a_stranger, f"belongs to user {STRANGER}"),
        (_with_mode(0o777), "can be written by others (mode 777)"),
        (_with_mode(0o770), "can be written by others (mode 770)"),
        (_with_mode(0o1777), "can be written by others (mode 1777)"),  # a sticky one as well
        (_with_access_list, "can be written by others"),
    ],
)
def test_nothing_is_loaded_from_or_written_to_a_folder_that_others_may_change(
    cache: Path, evil: tuple[Path, Path], spoil: Callable[[Path], None], said: str
) -> None:
    path, trace = evil
    spoil(path.parent)
    before = sorted(path.parent.iterdir())
    found = look(cache)  # there is a compiler
    assert found.origin == "none"
    assert said in found.text
    assert "RNNPROP_CACHE_DIR" in found.text
    assert "\n" not in found.text
    assert not trace.exists()
    assert sorted(path.parent.iterdir()) == before
    TALLY["kernel files and folders of others"] += 1


@root
def test_a_folder_above_that_others_may_change_does_no_harm(cache: Path, evil: tuple[Path, Path]) -> None:
    """A stranger exchanges our folder for his own; what is not ours is not used, whatever it is called."""
    path, trace = evil
    cache.chmod(0o777)
    _to_a_stranger(path.parent)
    _to_a_stranger(path)
    assert look(cache).origin == "none"
    assert not trace.exists()


def test_what_root_has_put_there_may_be_used(cache: Path, library: Path, monkeypatch) -> None:
    path = put_kernel(cache, library)
    if os.getuid() != 0:
        pytest.skip("not root")
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    (found,) = found_in(path.parent)
    assert isinstance(found, KeptKernel)


# --- compilers ---------------------------------------------------------------------------------------------------


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


# --- disks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.getuid() != 0 or not try_mount("-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)):
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, room: int) -> Path:
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(free - room))
    return ballast


def test_a_full_cache_disk_is_told_before_anything_is_compiled(
    disk: Path, tmp_path: Path, library: Path
) -> None:
    calls = tmp_path / "calls"
    command = copying_compiler(tmp_path / "copy", library, calls)
    ballast = fill(disk, 100 * 1024)
    found = look(disk, CXX=command)
    assert found.origin == "none"
    assert str(disk) in found.text
    assert "No space left on device" in found.text
    assert "bytes are free" in found.text
    assert "RNNPROP_CACHE_DIR" in found.text
    assert not calls.exists()
    ballast.unlink()
    assert look(disk, CXX=command).origin == "compiled now"
    fill(disk, 0)
    assert look(disk, **NO_COMPILER).origin == "from the cache"
    TALLY["full disks under a kernel"] += 1


def test_a_disk_that_fills_up_under_the_file_keeps_no_half(disk: Path, library: Path, monkeypatch) -> None:
    monkeypatch.setattr(kept, "ROOM_BYTES", 0)
    fill(disk, 64 * 1024)
    folder = KernelFolder(disk / "kernels")
    with pytest.raises(OSError, match="No space left"):
        folder.write("x", library.read_bytes())
    folder.close()
    assert list((disk / "kernels").iterdir()) == []
    TALLY["full disks under a kernel"] += 1


def test_no_room_for_the_compilers_own_files_has_its_own_message(
    disk: Path, tmp_path: Path, cache: Path
) -> None:
    found = look(cache, TMPDIR=str(disk))
    assert found.origin == "none"
    says_so = write_compiler(tmp_path / "cxx", "sys.exit('x.s: fatal error: No space left on device')")
    assert "no room in" in look(cache, CXX=str(says_so)).text
    assert f"no room in {disk}" in found.text
    assert "bytes are free" in found.text
    assert "TMPDIR" in found.text
    TALLY["full disks under a kernel"] += 1


def test_a_kernel_on_a_read_only_disk_is_used_and_none_can_be_kept_there(
    disk: Path, tmp_path: Path, library: Path
) -> None:
    path = put_kernel(disk, library)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert look(disk).origin == "from the cache"
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    path.unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    calls = tmp_path / "calls"
    found = look(disk, CXX=copying_compiler(tmp_path / "copy", library, calls))
    assert found.origin == "none"
    assert not calls.exists()
    assert "Read-only file system" in found.text


# --- whole commands ----------------------------------------------------------------------------------------------


def _bench(nursery: Nursery, folder: Path, cache: Path, **changes: str) -> str:
    changes = {"RNNPROP_KERNEL": "auto", "RNNPROP_CACHE_DIR": str(cache), **changes}
    command = nursery.start(folder, *BENCH_COMMAND, environment=changes)
    assert command.wait() == 0, command.said
    return command.said


def test_a_benchmark_goes_on_whatever_its_kernel_came_from(
    nursery: Nursery, tmp_path: Path, cache: Path, library: Path
) -> None:
    folder = prepare(tmp_path / "work")
    _bench(nursery, folder, cache, CXX=copying_compiler(tmp_path / "copy", library))
    done = committed(folder)
    assert set(statuses(folder)) == {"done"}
    _bench(nursery, folder, cache, **NO_COMPILER)
    assert committed(folder) == done
    elsewhere = tmp_path / "elsewhere"
    put_kernel(elsewhere, library)
    _bench(nursery, folder, elsewhere, **NO_COMPILER)
    assert committed(folder) == done


def test_without_a_kernel_a_benchmark_is_another_one_and_says_so(
    nursery: Nursery, tmp_path: Path, cache: Path, library: Path
) -> None:
    folder = prepare(tmp_path / "work")
    os.truncate(put_kernel(cache, library), 50_000)
    said = " ".join(_bench(nursery, folder, cache, **NO_COMPILER).split())
    assert "kernel: reference (slower), because the fast CPU kernel needs a C++ compiler" in said
    assert "is damaged" in said
    refused = nursery.start(
        folder,
        *BENCH_COMMAND,
        environment={"RNNPROP_KERNEL": "cpu", "RNNPROP_CACHE_DIR": str(cache), **NO_COMPILER},
    )
    assert refused.wait() == 2
    assert "Traceback" not in refused.said


def test_what_is_kept_can_be_written_by_its_user_only(cache: Path, tmp_path: Path, library: Path) -> None:
    command = copying_compiler(tmp_path / "copy", library)
    old = os.umask(0)  # whatever the user's is
    try:
        path = Path(look(cache, CXX=command).text)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.stat().st_mode & 0o022
