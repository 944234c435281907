"""What the compiled CPU kernel is made of, and what its files are called.

A file's name tells all that it depends on: the instruction set, a hash of the sources, flags and kind of system, and
the SHA-256 of the file itself. It does not tell the compiler, the path or the machine. A file whose content is what its
name says is the kernel, however it was obtained.

Only the standard library is needed here, and nothing of the package: setup.py reads this file to build a wheel.
"""

import hashlib
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SOURCE_FOLDER: Final = Path(__file__).parent
MAIN_SOURCE: Final = "cpu.cpp"
PREBUILT_FOLDER: Final = SOURCE_FOLDER / "prebuilt"  # what a wheel brings along
FLAGS: Final = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-shared",
    "-pthread",
    "-w",
    "-fno-math-errno",
    "-fno-trapping-math",
)
# First, so that neither a compiler's default nor -march=native in $CXX binds a file to one processor.
_ANY_X86: Final = ("-march=x86-64", "-mtune=generic")
# From the widest to the plain one. Other processors have one set, called as the machine, with their compiler's default.
INSTRUCTION_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "avx512": (*_ANY_X86, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
    "avx2": (*_ANY_X86, "-mavx2", "-mfma"),
    "x86-64": _ANY_X86,
}


def instruction_sets() -> tuple[str, ...]:
    """All that this kind of machine may have, the widest first."""
    machine = platform.machine().lower()
    return tuple(INSTRUCTION_FLAGS) if machine in ("x86_64", "amd64") else (machine,)


def compile_command(compiler: list[str], instructions: str, output: Path) -> list[str]:
    """What compiles the kernel for an instruction set into `output`."""
    flags = (*FLAGS, *INSTRUCTION_FLAGS.get(instructions, ()))
    return [*compiler, *flags, str(SOURCE_FOLDER / MAIN_SOURCE), "-o", str(output)]


def file_stem(instructions: str) -> str:
    """The part of a file's name that is known before the file is: instruction set and recipe."""
    kind = (
        FLAGS,
        INSTRUCTION_FLAGS.get(instructions),
        sys.platform,
        platform.machine().lower(),
        _c_library(),
    )
    digest = hashlib.sha256(repr(kind).encode())
    for source in (SOURCE_FOLDER / MAIN_SOURCE, *sorted(SOURCE_FOLDER.glob("*.h"))):
        digest.update(f"\n{source.name}\n".encode() + source.read_bytes())
    return f"cpu-{instructions}-{digest.hexdigest()[:16]}"


def file_name(stem: str, content: bytes) -> str:
    """The whole name of a file with this content."""
    return f"{stem}-{hashlib.sha256(content).hexdigest()}.so"


def is_named(name: str, stem: str) -> bool:
    """Whether this is the name of a file of the recipe `stem`."""
    return re.fullmatch(re.escape(stem) + r"-[0-9a-f]{64}\.so", name) is not None


def _c_library() -> str:
    """ "glibc" where that is what programs are linked with: its files do not load where another one is."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").split(" ")[0]
    except (AttributeError, ValueError, OSError):
        return ""
