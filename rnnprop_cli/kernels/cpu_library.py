"""The compiled C++ library of this process, and how its functions are called."""

import ctypes
from functools import cache
from typing import Final

from torch import Tensor

from rnnprop_cli.errors import DeviceError, RunError
from rnnprop_cli.kernels.cpu_interface import INT32
from rnnprop_cli.kernels.network import Network
from rnnprop_cli.kernels.obtain import LoadedKernel, obtain_kernel

UNKNOWN_CODE: Final = 2  # what a function of the library returns then


def loaded_kernel() -> LoadedKernel:
    """The compiled kernel and where it came from.

    It is looked for once a process, also where it cannot be had: what a run computes with must not change amid it.

    Raises:
        DeviceError: it cannot be had.
    """
    found = kernel_of_this_process()
    if isinstance(found, str):
        raise DeviceError(found)
    return found


def load_library() -> ctypes.CDLL:
    """The library, its functions declared.

    Raises:
        DeviceError: it cannot be had.
    """
    return loaded_kernel().library


@cache
def kernel_of_this_process() -> LoadedKernel | str:
    """The same, or why it cannot be had."""
    try:
        return obtain_kernel()
    except DeviceError as error:
        return str(error)


def sizes(network: Network) -> ctypes.Array[ctypes.c_int32]:
    """The architecture as the library reads it."""
    return (INT32 * 5)(network.features, network.embedding, network.hidden, network.layers, network.bounded)


def pointers(*tensors: Tensor) -> list[int]:
    """Addresses of contiguous tensors."""
    return [t.data_ptr() for t in tensors]


@cache
def code_of(table: str, name: str) -> int:
    """What the library calls a rule, an activation, the letter of a layer or a number format.

    Raises:
        ValueError: it does not know it.
    """
    code: int = load_library().rnnprop_code(table.encode(), name.encode())
    if code < 0:
        raise ValueError(f"the compiled kernel knows no {table} '{name}'")
    return code


def check(status: int) -> None:
    """Raises RunError for what tells of a failure."""
    if status == UNKNOWN_CODE:
        raise ValueError("the compiled kernel was given a code that it did not give")
    if status:
        raise RunError("the fast CPU kernel ran out of memory; free some, or use kernel 'reference'")
