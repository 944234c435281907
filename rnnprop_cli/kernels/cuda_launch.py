"""How the Triton programs of the CUDA body are found and launched. Importing this needs no triton."""

from importlib import import_module
from types import ModuleType
from typing import Final

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.network import Network

# Compiled for sm_80 to sm_120 these tiles spill next to nothing and take 4 KB of shared memory whatever the network's
# width (`benchmarks/cuda_programs.py` tells). Not yet timed on a device.
BLOCK: Final = 64  # coordinates of a program
UNITS: Final = (16, 32)  # hidden units that it works on at a time: the smaller where that holds them all
DEPTH: Final = 16  # terms of a product at a time
# A weight gradient: its rows and columns of a program, and the coordinates that it takes at a time.
OUTER: Final = {
    "ROWS": 32,
    "COLUMNS": 64,
    "BLOCK": 64,
    "num_warps": 4,
    "num_stages": 2,
    "enable_fp_fusion": True,
}
LAUNCH: Final = {"num_warps": 4, "num_stages": 1, "enable_fp_fusion": True}


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


def tiles(network: Network) -> dict[str, int]:
    """How much of the network a program works on at a time."""
    units = next((each for each in UNITS if network.hidden <= each), UNITS[-1])
    return {"UNITS": units, "DEPTH": DEPTH, "BLOCK": BLOCK}


def fits_one_tile(network: Network) -> bool:
    """Whether a step may overwrite the outputs before it; else units still read what others would overwrite."""
    return network.hidden <= tiles(network)["UNITS"]
