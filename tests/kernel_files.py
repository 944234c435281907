"""What tests of compiled kernels share: a real library, fake compilers, and other processes that look for a kernel."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import rnnprop_cli
from rnnprop_cli.kernels.instructions import host_instructions
from rnnprop_cli.kernels.kept import KeptKernel, read_kernels
from rnnprop_cli.kernels.recipe import file_name, file_stem

STRANGER = 12345  # a user who is not us
NO_COMPILER = {"PATH": "", "CXX": ""}
ROOT = Path(rnnprop_cli.__file__).parents[1]
LOOK = """
import json, sys
from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import compiler
compiler.TOLD_AFTER_S, compiler.COMPILE_TIMEOUT_S = 0.3, float(sys.argv[1])
if "nolocks" in sys.argv:  # as on file systems that have none
    import errno, fcntl
    def flock(*arguments): raise OSError(errno.ENOLCK, "No locks available")
    fcntl.flock = flock
from rnnprop_cli.kernels import obtain
obtain.host_instructions = lambda: sys.argv[3]  # as PyTorch has told our parent: it takes seconds to load
try:
    found = obtain.obtain_kernel()
    print(json.dumps([found.origin, str(found.path)]))
except DeviceError as error:
    print(json.dumps(["none", str(error)]))
"""


class Looked(NamedTuple):
    """What a process that looked for the kernel found."""

    origin: str  # or "none"
    text: str  # path, or why there is none
    said: str  # on stderr


def environment(cache: Path, **changes: str) -> dict[str, str]:
    """Of a process with its own cache of kernels."""
    return {**os.environ, "RNNPROP_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), **changes}


def start_look(
    cache: Path, timeout_s: float = 200.0, locks: bool = True, **changes: str
) -> subprocess.Popen[str]:
    """A process that looks for the kernel and prints what it finds; a compiler has `timeout_s`."""
    return subprocess.Popen(
        [sys.executable, "-c", LOOK, str(timeout_s), "" if locks else "nolocks", host_instructions()],
        env=environment(cache, **changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish_look(process: subprocess.Popen[str]) -> Looked:
    """What it found; an AssertionError if it ended in any other way."""
    out, said = process.communicate()
    assert process.returncode == 0, f"{process.returncode}: {said}"
    return Looked(*json.loads(out), said)


def look(cache: Path, timeout_s: float = 200.0, **changes: str) -> Looked:
    """Both of these."""
    return finish_look(start_look(cache, timeout_s, **changes))


def put_kernel(cache: Path, library: Path) -> Path:
    """A copy of a real library in a cache, under its name."""
    folder = cache / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / file_name(file_stem(host_instructions()), library.read_bytes())
    shutil.copyfile(library, kept)
    return kept


def write_compiler(path: Path, program: str) -> Path:
    """An executable that stands for a compiler."""
    path.write_text(f"#!{sys.executable}\nimport os, pathlib, subprocess, sys, time\n{program}\n")
    path.chmod(0o755)
    return path


def copying_compiler(path: Path, library: Path, calls: Path | None = None, seconds: float = 0) -> str:
    """The command of a compiler that hands out a library, and notes every call."""
    note = "" if calls is None else f"open({str(calls)!r}, 'a').write('x')\ntime.sleep({seconds})\n"
    copy = f"pathlib.Path(sys.argv[-1]).write_bytes(pathlib.Path({str(library)!r}).read_bytes())"
    return str(write_compiler(path, note + copy))


def found_in(folder: Path) -> list[KeptKernel | str]:
    """What the kept files of a folder are found to be."""
    (stem,) = {path.name.rsplit("-", 1)[0] for path in folder.glob("*.so")}
    return list(read_kernels(folder, stem, ours=True))
