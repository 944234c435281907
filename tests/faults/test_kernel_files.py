"""A damaged or foreign file of the compiled kernel is never loaded, and ends or misleads no command."""

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_tools import (
    TALLY,
)
from kernel_files import (
    NO_COMPILER,
    STRANGER,
    copying_compiler,
    environment,
    found_in,
    look,
    put_kernel,
)

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import compiler
from rnnprop_cli.kernels.instructions import host_instructions
from rnnprop_cli.kernels.kept import KeptKernel

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and mounts disks")
root = pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")


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
