"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Kernel(StrEnum):
    """Which implementation computes the learned optimizer's network."""

    AUTO = "auto"
    REFERENCE = "reference"
    CPU = "cpu"
    CUDA = "cuda"


DeviceOption = Annotated[
    Device,
    typer.Option("--device", envvar="RNNPROP_DEVICE", help="auto takes CUDA where there is one."),
]
KernelOption = Annotated[
    Kernel,
    typer.Option(
        "--kernel", envvar="RNNPROP_KERNEL", help="Implementation of the learned optimizer's network."
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        envvar="RNNPROP_THREADS",
        help="CPU threads (default: all cores); part of a run's identity.",
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", envvar="RNNPROP_DATA_DIR", help="Folder with mnist/ and cifar10/ (else the cache)."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of text.")]
