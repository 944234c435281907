"""The compiled C++ library and how its functions are called."""

import ctypes
import os
from functools import cache
from typing import Final

from torch import Tensor

from rnnprop_cli.errors import DeviceError, RunError
from rnnprop_cli.kernels.base import Network
from rnnprop_cli.kernels.compiler import compile_library, openmp_entry

POINTER: Final = ctypes.c_void_p
INT32: Final = ctypes.c_int32
INT64: Final = ctypes.c_int64
FLOAT: Final = ctypes.c_float


class RelativeStep(ctypes.Structure):
    """`RelativeStep` of cpu_step.h, field by field."""

    _fields_ = (
        *((name, POINTER) for name in ("grads", "m", "v", "features", "params", "rate")),
        ("coordinates", INT64),
        *((name, FLOAT) for name in ("rest1", "beta2", "rest2", "correct1", "correct2", "eps")),
    )


@cache
def load_library() -> ctypes.CDLL:
    """The compiled library with its functions declared (once a process).

    Raises:
        DeviceError: it cannot be compiled or loaded.
    """
    path = compile_library()
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise DeviceError(f"the fast CPU kernel could not be loaded ({error}); remove {path}") from error
    library.rnnprop_use_openmp.argtypes = [POINTER]
    library.rnnprop_use_openmp.restype = None
    library.rnnprop_step.argtypes = [POINTER, INT64, INT32, *[POINTER] * 7, ctypes.POINTER(RelativeStep)]
    library.rnnprop_window_gradient.argtypes = [POINTER, INT32, INT64, INT32, *[POINTER] * 6]
    library.rnnprop_mlp_gradient.argtypes = [
        *[INT64] * 3, INT32, POINTER, INT32, INT32, *[POINTER] * 3, FLOAT, FLOAT, *[POINTER] * 3
    ]  # fmt: skip
    library.rnnprop_rule_step.argtypes = [INT32, INT64, INT64, INT32, *[POINTER] * 6]
    library.rnnprop_use_openmp(openmp_entry())
    # OpenMP's threads do not survive a fork, and whoever waits for them waits for ever: a child starts its own.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: library.rnnprop_use_openmp(None))
    return library


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
