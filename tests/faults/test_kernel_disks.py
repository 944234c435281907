"""Full and read-only disks under the compiled kernel, and whole benchmarks whatever their kernel came from."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_tools import (
    BENCH_COMMAND,
    TALLY,
    Nursery,
    committed,
    prepare,
    statuses,
)
from kernel_files import (
    NO_COMPILER,
    copying_compiler,
    look,
    put_kernel,
    write_compiler,
)
from test_full_disk import try_mount

from rnnprop_cli.kernels import kept
from rnnprop_cli.kernels.kept import KernelFolder

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and mounts disks")


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
