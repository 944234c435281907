"""Compiles the C++ body on first use and keeps the result in the user's cache folder.

A plain C interface needs no PyTorch headers: compiling takes seconds, and one library serves every version
of Python and PyTorch.
"""

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import platformdirs
import torch

from rnnprop_cli.errors import DeviceError

CACHE_DIR_VARIABLE: Final = "RNNPROP_CACHE_DIR"
SOURCES: Final = (
    "cpu.cpp",
    "cpu_layers.h",
    "cpu_mlp.h",
    "cpu_numbers.h",
    "cpu_rules.h",
    "cpu_simd.h",
    "cpu_step.h",
    "cpu_tensors.h",
    "cpu_threads.h",
    "cpu_window.h",
)
COMPILERS: Final = ("g++", "clang++", "c++")
COMPILE_TIMEOUT_S: Final = 300
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
# Keys are what torch.backends.cpu.get_cpu_capability() says; other processors get their compiler's default.
CAPABILITY_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "AVX512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
    "AVX2": ("-mavx2", "-mfma"),
}


def cache_dir() -> Path:
    """Where compiled libraries are kept: $RNNPROP_CACHE_DIR, or the user's cache folder."""
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("rnnprop"))


def find_compiler() -> list[str]:
    """The command of the C++ compiler: $CXX if set, else the first of `COMPILERS` that is installed.

    Raises:
        DeviceError: there is none.
    """
    chosen = shlex.split(os.environ.get("CXX", ""))
    for command in [chosen] if chosen else [[name] for name in COMPILERS]:
        if shutil.which(command[0]):
            return command
    looked_for = f"$CXX = {chosen[0]}" if chosen else ", ".join(COMPILERS)
    raise DeviceError(
        f"the fast CPU kernel needs a C++ compiler and none was found ({looked_for}); "
        "install g++ or clang++, or set CXX"
    )


def compile_library() -> Path:
    """Path of the compiled library, compiled now unless the cache has it.

    The file's name holds a hash of the sources, the compiler's version and the flags, so that a stale library is
    never loaded. It appears by an atomic rename, so that processes which compile at the same time do not meet
    half a file.

    Raises:
        DeviceError: no compiler, or it failed, or the cache folder cannot be written.
    """
    compiler = find_compiler()
    folder = Path(__file__).parent
    flags = (*FLAGS, *CAPABILITY_FLAGS.get(torch.backends.cpu.get_cpu_capability(), ()))
    try:
        version = subprocess.run(
            [*compiler, "--version"], capture_output=True, timeout=COMPILE_TIMEOUT_S
        ).stdout
        digest = hashlib.sha256(repr((compiler, version, flags, sys.platform)).encode())
        for name in SOURCES:
            digest.update((folder / name).read_bytes())
        library = cache_dir() / f"kernels-{digest.hexdigest()[:20]}.so"
        if library.exists():
            return library
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as build_dir:
            built = Path(build_dir) / library.name
            result = subprocess.run(
                [*compiler, *flags, str(folder / SOURCES[0]), "-o", str(built)],
                capture_output=True,
                text=True,
                timeout=COMPILE_TIMEOUT_S,
            )
            if result.returncode != 0 or not built.exists():
                lines = result.stderr.strip().splitlines() or ["no message"]
                problem = next((line for line in lines if "error" in line), lines[-1])
                raise DeviceError(
                    f"the fast CPU kernel could not be compiled by {compiler[0]} ({problem}); "
                    "set CXX to another compiler"
                )
            built.replace(library)
    except subprocess.TimeoutExpired:
        raise DeviceError(
            f"the fast CPU kernel was not compiled by {compiler[0]} within {COMPILE_TIMEOUT_S} s; "
            "set CXX to another compiler"
        ) from None
    except OSError as error:
        raise DeviceError(
            f"the fast CPU kernel could not be compiled ({error}); "
            f"set {CACHE_DIR_VARIABLE} to a folder that can be written"
        ) from error
    return library


def openmp_entry() -> ctypes.c_void_p:
    """Address of GOMP_parallel in the OpenMP runtime that PyTorch has loaded, or null.

    Wheels of PyTorch bundle their own libgomp. Were ours linked with the system's, two pools of threads would
    spin against each other; a symbol looked up through libtorch_cpu comes from PyTorch's own.
    """
    try:
        torch_cpu = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        return ctypes.cast(torch_cpu.GOMP_parallel, ctypes.c_void_p)
    except (OSError, AttributeError):
        return ctypes.c_void_p(None)
