"""Where the compiled CPU kernel comes from: the wheel, else the user's cache, else a compiler.

A kept file is used whether or not there is a compiler. One that is damaged, foreign or wrong is compiled anew once; if
that does not help either, a note in the cache spares later commands the wait, and the reference body serves.
"""

import ctypes
import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import platformdirs

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.files.variables import path_variable
from rnnprop_cli.kernels import compiler
from rnnprop_cli.kernels.compiler import HopelessError, compile_kernel, find_compiler, fingerprint, say
from rnnprop_cli.kernels.cpu_interface import open_library
from rnnprop_cli.kernels.cpu_self_check import problem_of
from rnnprop_cli.kernels.instructions import host_instructions
from rnnprop_cli.kernels.kept import CACHE_DIR_VARIABLE, KeptKernel, KernelFolder, read_kernels
from rnnprop_cli.kernels.recipe import PREBUILT_FOLDER, file_name, file_stem

Origin = Literal["from the wheel", "from the cache", "compiled now"]


class LoadedKernel(NamedTuple):
    """The library of this process."""

    library: ctypes.CDLL
    instructions: str
    origin: Origin
    path: Path
    passed_over: tuple[str, ...]  # files that came before it, and why they were not taken


def cache_folder() -> Path:
    """Where compiled kernels are kept: a folder of its own in $RNNPROP_CACHE_DIR or the user's cache folder."""
    return (path_variable(CACHE_DIR_VARIABLE) or Path(platformdirs.user_cache_dir("rnnprop"))) / "kernels"


def obtain_kernel() -> LoadedKernel:
    """Finds or makes the kernel for this processor, and loads it.

    Raises:
        DeviceError: it cannot be had; one line says why, and what could be done.
    """
    search = _Search(host_instructions(), [])
    try:
        found = search.take(PREBUILT_FOLDER, "from the wheel") or search.take(
            cache_folder(), "from the cache"
        )
        return found or search.make()
    except DeviceError as error:
        raise DeviceError("; ".join((str(error), *search.passed_over)).replace("\n", " ")) from error


class _Search(NamedTuple):
    instructions: str
    passed_over: list[str]

    @property
    def stem(self) -> str:
        return file_stem(self.instructions)

    def take(self, folder: Path, origin: Origin) -> LoadedKernel | None:
        """The first sound kernel of a folder."""
        for each in read_kernels(folder, self.stem, ours=origin == "from the cache"):
            found = each if isinstance(each, str) else self.load(each, origin)
            if isinstance(found, LoadedKernel):
                return found
            if found not in self.passed_over:
                self.passed_over.append(found)
        return None

    def load(self, kept: KeptKernel, origin: Origin) -> LoadedKernel | str:
        """The library, or what is wrong with it."""
        try:
            library = open_library(kept.content, kept.path)
            problem = problem_of(library)
        except (OSError, AttributeError) as error:
            problem = f"cannot be loaded ({error})"
        if problem:
            return f"{kept.path}: {problem}"
        return LoadedKernel(library, self.instructions, origin, kept.path, tuple(self.passed_over))

    def make(self) -> LoadedKernel:
        """The kernel as another process has just made it, or compiled by this one."""
        command = find_compiler()
        folder = cache_folder()
        try:
            kept = KernelFolder(folder)
            try:
                kept.lock(compiler.COMPILE_TIMEOUT_S, _told_once())
                made = self.take(folder, "from the cache")
                if made is not None:
                    return made
                content = self._compile(command, kept)
                name = file_name(self.stem, content)
                kept.write(name, content)
            finally:
                kept.close()
        except OSError as error:
            raise DeviceError(
                f"the fast CPU kernel cannot be kept: {_storage_problem(folder, error)}"
            ) from error
        loaded = self.load(KeptKernel(folder / name, content), "compiled now")
        if isinstance(loaded, str):
            raise DeviceError(f"the fast CPU kernel cannot be used: {loaded}")
        return loaded

    def _compile(self, command: list[str], kept: KernelFolder) -> bytes:
        note, compiler_here = f"{self.stem}.refused", fingerprint(command)
        then, _, problem = kept.read_text(note).partition("\n")
        if then == compiler_here:
            raise DeviceError(f"{problem}, or remove {kept.folder / note} to try this one again")
        for each in self.passed_over:
            say(f"{each}; the kernel is compiled anew")
        try:
            return compile_kernel(command, self.instructions)
        except HopelessError as error:
            kept.write(note, f"{compiler_here}\n{error}".encode())
            raise


def _told_once() -> Callable[[float], None]:
    """Says on stderr, once, what is waited for."""
    told = False

    def waiting(seconds: float) -> None:
        nonlocal told
        if seconds >= compiler.TOLD_AFTER_S and not told:
            told = True
            say("another process is compiling the fast CPU kernel; waiting for it")

    return waiting


def _storage_problem(folder: Path, error: OSError) -> str:
    other = f"set {CACHE_DIR_VARIABLE} to another folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(folder).free
        return f"{folder}: {error.strerror}, {free:,} bytes are free; make room there, or {other}"
    return f"{folder}: {error.strerror}; {other}"
