"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer


class Kernel(StrEnum):
    """Which implementation computes the learned optimizer's network."""

    AUTO = "auto"
    REFERENCE = "reference"
    CPU = "cpu"
    CUDA = "cuda"


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
