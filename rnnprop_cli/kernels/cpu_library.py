"""The compiled C++ library of this process, and how its functions are called."""

import ctypes
from functools import cache

from torch import Tensor

from rnnprop_cli.errors import DeviceError, RunError
from rnnprop_cli.kernels.cpu_interface import INT32
from rnnprop_cli.kernels.network import Network
from rnnprop_cli.kernels.obtain import LoadedKernel, obtain_kernel


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


def check(code: int) -> None:
    """Raises RunError for a code that tells of a failure."""
    if code:
        raise RunError("the fast CPU kernel ran out of memory; free some, or use kernel 'reference'")
