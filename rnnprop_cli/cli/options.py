"""Options that several commands share, and what holds for every option: `~` is somebody's home."""

import functools
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rnnprop_cli import DATABASE_VARIABLE, DEFAULT_DB
from rnnprop_cli.cli import completion
from rnnprop_cli.files.variables import expanded, path_variable
from rnnprop_cli.kernels import KernelName


class EngineKind(StrEnum):
    """Who carries out the batches of a benchmark."""

    LOCAL = "local"
    RAY = "ray"
    SLURM = "slurm"


AUTO_DEVICE: Final = "auto"
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N",
        envvar="RNNPROP_DEVICE",
        help="auto takes CUDA where there is one; slots take all GPUs of one model in turns unless one is named.",
    ),
]
Tf32Option = Annotated[
    bool,
    typer.Option(
        "--tf32",
        envvar="RNNPROP_TF32",
        help="Let GPUs round float32 products to TF32; part of a run's identity.",
    ),
]
AllowCodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        envvar="RNNPROP_ALLOW_CODE",
        help="Import the code that the spec names: it runs with your rights.",
    ),
]
KernelOption = Annotated[
    KernelName,
    typer.Option(
        "--kernel", envvar="RNNPROP_KERNEL", help="Implementation of the learned optimizer's network."
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=1024,
        envvar="RNNPROP_THREADS",
        help="CPU threads (default: all cores); part of a run's identity on the CPU.",
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", envvar="RNNPROP_DATA_DIR", help="Folder with mnist/ and cifar10/ (else the cache)."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of text.")]

BenchSpecOption = Annotated[
    Path,
    typer.Option(
        "--spec",
        help="Benchmark: a file, or one that comes with rnnprop, e.g. quickstart (`rnnprop spec list`).",
        autocompletion=completion.specs,
    ),
]
TrainSpecOption = Annotated[
    Path | None,
    typer.Option(
        "--spec",
        help="Recipe: a file, or one that comes with rnnprop, e.g. train_rnnprop (`rnnprop spec list`).",
        autocompletion=completion.specs,
    ),
]


def databases_of(named: Sequence[Path] | None) -> tuple[Path, ...]:
    """The databases of a call: those of `--db`, else that of the variable, else the usual one."""
    if not named:
        return (path_variable(DATABASE_VARIABLE) or Path(DEFAULT_DB),)
    return tuple(expanded("--db", path) for path in named)


def with_homes(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, given paths in which `~` and `~user` are folders.

    A shell expands `~` only where a word begins with it: not in `--db=~/x.db`, and not in a variable that was set by a
    service, a container or a configuration file.
    """

    @functools.wraps(command)
    def call(**arguments: Any) -> Any:
        return command(**{name: _expanded(name, value) for name, value in arguments.items()})

    return call


def _expanded(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(name, each) for each in value]
    return expanded("--" + name.replace("_", "-"), value) if isinstance(value, Path) else value
