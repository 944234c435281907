"""How the Triton programs of the CUDA body are found and launched. Importing this needs no triton."""

from importlib import import_module
from types import ModuleType
from typing import Final

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.network import Network

# Tiles as they were fastest on an H200 (docs/performance.md); `benchmarks/cuda_programs.py` tells what they take.
BLOCK: Final = 32  # coordinates of a program
DEPTH: Final = 16  # terms of a product at a time
OPTIONS: Final = {"num_stages": 1, "enable_fp_fusion": True}  # of every launch
LAUNCH: Final = {"num_warps": 2} | OPTIONS
# A weight gradient: its rows and columns of a program, and the coordinates that it takes at a time.
OUTER: Final = {"ROWS": 128, "COLUMNS": 64, "BLOCK": 64, "num_warps": 8} | OPTIONS
SMALL_OUTER: Final = {"ROWS": 32, "COLUMNS": 32, "BLOCK": 64, "num_warps": 4} | OPTIONS
WIDE_OUTER: Final = OUTER | {"BLOCK": 32}  # of wide networks, whose offsets take registers
IN_PLACE: Final = 32  # hidden units at most of which a step may overwrite the outputs before it


def import_programs(name: str) -> ModuleType:
    """A module of Triton programs of this package.

    Raises:
        DeviceError: triton is not installed.
    """
    try:
        return import_module(f"rnnprop_cli.kernels.{name}")
    except ImportError as error:
        raise DeviceError(
            f"the fast CUDA kernel needs triton ({error}); install it with pip install triton"
        ) from None


def tiles() -> dict[str, int]:
    """How much a program works on at a time."""
    return {"DEPTH": DEPTH, "BLOCK": BLOCK}


def outer_tile(rows: int, columns: int) -> dict[str, int | bool]:
    """How much of a weight gradient of this size, its biases' column included, a program works on."""
    if rows <= SMALL_OUTER["ROWS"]:
        return SMALL_OUTER
    return OUTER if columns <= OUTER["COLUMNS"] else WIDE_OUTER


def steps_in_place(network: Network) -> bool:
    """Whether a step may overwrite the outputs before it."""
    return network.hidden <= IN_PLACE
