"""Starting work: `rnnprop bench` and `rnnprop train` as child processes that may outlive the app."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import RunError, SpecError
from rnnprop_cli.records import Kind
from rnnprop_cli.spec.shipped import find_spec, shipped_specs
from rnnprop_cli.spec.source import read

PROGRAM: Final = (sys.executable, "-m", "rnnprop_cli")
_TAIL_BYTES: Final = 8192
_FOLDERS: Final = (".", "bench_specs", "specs")


@dataclass(frozen=True)
class SpecFile:
    """A spec that can be started."""

    path: Path
    kind: Kind
    name: str
    description: str


def find_specs(folder: Path) -> tuple[list[SpecFile], list[str]]:
    """Specs in a folder and in its `bench_specs`, then those that come with the package, by their names alone.

    Returns:
        They, and why other files of that suffix could not even be read.
    """
    found, left_out = [], []
    for sub in _FOLDERS:
        with contextlib.suppress(OSError):
            for path in sorted((folder / sub).glob("*.toml")):
                try:
                    spec = _described(path)
                except SpecError as error:
                    left_out.append(error.problems[0].splitlines()[0])
                else:
                    found += [] if spec is None else [spec]  # pyproject.toml and the like
    here = {spec.path.stem for spec in found}
    shipped = [(name, _described(path)) for name, path in shipped_specs().items() if name not in here]
    found += [replace(spec, path=Path(name)) for name, spec in shipped if spec is not None]
    return found, left_out


def read_spec(path: Path) -> SpecFile:
    """What kind of spec a file is. Whether it is a good one, the command itself says.

    Raises:
        SpecError: it is none, or cannot be read.
    """
    spec = _described(path)
    if spec is None:
        raise SpecError([f"{path}: is no spec of a bench or a train"])
    return spec


def _described(path: Path) -> SpecFile | None:
    content = read(find_spec(path)).data
    kind: Kind | None = "bench" if "optimizers" in content else "train" if "optimizer" in content else None
    if kind is None:
        return None
    return SpecFile(path, kind, str(content.get("name", path.stem)), str(content.get("description", "")))


def command_of(database: Path, spec: SpecFile) -> list[str]:
    """The words after `rnnprop`."""
    return ["--db", str(database), spec.kind, "--spec", str(spec.path)]


class Child:
    """One process. It has a session of its own, so neither our end nor the terminal's is its end."""

    def __init__(self, spec: SpecFile, words: list[str]) -> None:
        self.spec = spec
        self.interrupts = 0  # how often it was asked to stop
        try:
            with tempfile.NamedTemporaryFile(
                prefix=f"rnnprop-{spec.kind}-", suffix=".log", delete=False
            ) as log:
                self.log_path = Path(log.name)
                self._process = subprocess.Popen(
                    [*PROGRAM, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    # A program started in the background of a shell inherits that Ctrl+C is ignored; the child must
                    # be interruptible all the same.
                    preexec_fn=_listen_to_interrupts,
                    env={**os.environ, "NO_COLOR": "1"},
                )
        except OSError as error:
            if hasattr(self, "log_path"):
                self.log_path.unlink(missing_ok=True)
            raise RunError(f"could not start: {error.strerror or error}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def interrupt(self) -> None:
        """Once: it finishes its step and can be resumed. Twice: out at once."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)
            self.interrupts += 1

    def output(self) -> list[str]:
        """The last lines of what it said."""
        with contextlib.suppress(OSError), self.log_path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _TAIL_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").replace("\r", "\n").split("\n")
            return [line for line in lines[1 if size > _TAIL_BYTES else 0 :] if line.strip()]
        return []

    def close(self) -> None:
        """Forget it; the record of one that still runs is left for it to write."""
        if self.poll() is not None:
            self.log_path.unlink(missing_ok=True)
        else:
            self._process.returncode = 0  # it outlives us on purpose: no ResourceWarning


def _listen_to_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
