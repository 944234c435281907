"""Compiles the C++ body with whatever compiler this machine has, within limits.

A plain C interface needs no PyTorch headers: compiling takes seconds, and one library serves every version
of Python and PyTorch.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.cpu_self_check import try_in_a_process
from rnnprop_cli.kernels.recipe import compile_command

COMPILERS: Final = ("g++", "clang++", "c++")
_INSTALL: Final = {
    "linux": "Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; conda: conda install gxx",
    "darwin": "xcode-select --install",
}
TOLD_AFTER_S: Final = 5.0
COMPILE_TIMEOUT_S: Final = 300.0
ROOM_BYTES: Final = 16 << 20  # for the compiler's own files; a few MB are used
_NO_ROOM: Final = ("No space left on device", "Disk quota exceeded")


class HopelessError(DeviceError):
    """What this compiler makes of our sources is of no use, and it takes long to find out: do not ask it again."""


def find_compiler() -> list[str]:
    """The command of the C++ compiler: $CXX if set, else the first of `COMPILERS` that is installed.

    Raises:
        DeviceError: there is none, or CXX cannot be understood.
    """
    variable = os.environ.get("CXX", "")
    try:
        chosen = shlex.split(variable)
    except ValueError as error:
        raise DeviceError(
            f"the fast CPU kernel needs a C++ compiler and CXX is not a command ({error}): {variable!r}; "
            "set CXX to another one or unset it"
        ) from None
    for command in [chosen] if chosen else [[name] for name in COMPILERS]:
        if shutil.which(command[0]):
            return command
    looked_for = f"$CXX = {chosen[0]}" if chosen else ", ".join(COMPILERS)
    raise DeviceError(
        f"the fast CPU kernel needs a C++ compiler and none was found ({looked_for}); "
        f"install one ({_INSTALL.get(sys.platform, 'g++ or clang++')}) or set CXX"
    )


def fingerprint(compiler: list[str]) -> str:
    """What tells this compiler from another or a newer one, without running it."""
    path = shutil.which(compiler[0]) or compiler[0]
    try:
        about = Path(path).stat()
    except OSError:
        return repr(compiler)
    return repr((compiler, path, about.st_size, about.st_mtime_ns))


def compile_kernel(compiler: list[str], instructions: str) -> bytes:
    """A library for an instruction set, compiled and tried now.

    Raises:
        HopelessError: the compiler hung, or what it made fails its self-check.
        DeviceError: it failed, or there is no room for its temporary files.
    """
    name = compiler[0]
    try:
        with tempfile.TemporaryDirectory(prefix="rnnprop-kernel-") as folder:
            output = Path(folder) / "kernel.so"
            if (
                shutil.disk_usage(folder).free < ROOM_BYTES
            ):  # else the compiler's own words might find no room
                raise _no_room(Path(folder))
            code, said = _run(compile_command(compiler, instructions, output), Path(folder))
            if any(line in said for line in _NO_ROOM):
                raise _no_room(Path(folder))
            if code != 0 or not output.is_file():
                lines = said.strip().splitlines() or ["no message"]
                problem = next((line for line in lines if "error" in line), lines[-1])
                raise DeviceError(
                    f"the fast CPU kernel could not be compiled by {name} ({problem}); set CXX to another compiler"
                )
            wrong = try_in_a_process(output)
            if wrong:
                raise HopelessError(
                    f"the fast CPU kernel was compiled by {name} but {wrong}; set CXX to another compiler"
                )
            return output.read_bytes()
    except OSError as error:
        raise DeviceError(
            f"the fast CPU kernel could not be compiled ({error}); set CXX to another compiler, or TMPDIR to a folder "
            "that can be written"
        ) from error


def _no_room(folder: Path) -> DeviceError:
    free = shutil.disk_usage(folder).free
    return DeviceError(
        f"the fast CPU kernel could not be compiled: no room in {folder.parent}, where {free:,} bytes are free; make "
        "room there, or set TMPDIR to another folder"
    )


def say(line: str) -> None:
    """One line on stderr: the caller waits, and there may be nobody else who could tell why."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no stderr, or a closed one
        print(f"rnnprop: {line}", file=sys.stderr, flush=True)


def _run(command: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and output of a command that, with all its children, is ended after `COMPILE_TIMEOUT_S`."""
    log = folder / "output.txt"  # a file: a pipe would be held open by children that outlive the compiler
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            process_group=0,
        )
    try:
        try:
            code = process.wait(min(TOLD_AFTER_S, COMPILE_TIMEOUT_S))
        except subprocess.TimeoutExpired:
            say(
                f"{command[0]} is compiling the fast CPU kernel, once for this kind of machine; it is given "
                f"{COMPILE_TIMEOUT_S:.0f} s (RNNPROP_KERNEL=reference does without)"
            )
            code = process.wait(max(0.0, COMPILE_TIMEOUT_S - TOLD_AFTER_S))
    except subprocess.TimeoutExpired:
        raise HopelessError(
            f"the fast CPU kernel was not compiled by {command[0]} within {COMPILE_TIMEOUT_S:.0f} s; "
            "set CXX to another compiler"
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return code, log.read_bytes().decode(errors="replace")
