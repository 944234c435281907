"""The C interface of the compiled CPU kernel, and how a file's content becomes a loaded library.

Only the standard library is needed here: a fresh library is tried in a process that loads nothing else.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

POINTER: Final = ctypes.c_void_p
INT32: Final = ctypes.c_int32
INT64: Final = ctypes.c_int64
FLOAT: Final = ctypes.c_float
FROM_FILE_VARIABLE: Final = "RNNPROP_KERNEL_FROM_FILE"


class RelativeStep(ctypes.Structure):
    """`RelativeStep` of cpu_step.h, field by field."""

    _fields_ = (
        *((name, POINTER) for name in ("grads", "m", "v", "features", "params", "rate")),
        ("coordinates", INT64),
        *((name, FLOAT) for name in ("rest1", "beta2", "rest2", "correct1", "correct2", "eps")),
    )


def open_library(content: bytes, path: Path) -> ctypes.CDLL:
    """Loads a library from memory and declares its functions.

    A mapped file that is cut off, or exchanged on another node of a network file system, ends the process that uses it.
    So what is mapped is a copy of the bytes that were verified, and `path` only where there is no such thing as a file
    in memory. RNNPROP_KERNEL_FROM_FILE=1 maps the file, since profilers read symbols from there.

    Raises:
        OSError: the system cannot load it.
        AttributeError: it lacks a function.
    """
    library = None
    if hasattr(os, "memfd_create") and not os.environ.get(FROM_FILE_VARIABLE):
        descriptor = -1
        try:
            descriptor = os.memfd_create("rnnprop-kernel", os.MFD_CLOEXEC)
            with open(descriptor, "wb", closefd=False) as memory:
                memory.write(content)
            # Stays open: the loader knows libraries by name, and a number that is used again would be this one.
            library = ctypes.CDLL(f"/proc/self/fd/{descriptor}")
        except OSError:
            if descriptor >= 0:
                os.close(descriptor)
    return _declared(ctypes.CDLL(str(path)) if library is None else library)


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    library.rnnprop_code.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    library.rnnprop_step.argtypes = [POINTER, INT64, INT32, *[POINTER] * 7, ctypes.POINTER(RelativeStep)]
    library.rnnprop_step_tensors.argtypes = [POINTER, INT64, INT32, *[POINTER] * 3, *[ctypes.c_double] * 3]
    library.rnnprop_window_gradient.argtypes = [POINTER, INT32, INT64, INT32, *[POINTER] * 6]
    library.rnnprop_mlp_gradient.argtypes = [
        *[INT64] * 3, INT32, POINTER, INT32, INT32, *[POINTER] * 3, FLOAT, FLOAT, *[POINTER] * 3
    ]  # fmt: skip
    library.rnnprop_conv.argtypes = [*[INT64] * 3, INT32, *[POINTER] * 3, INT32, *[POINTER] * 6]
    library.rnnprop_lstm.argtypes = [*[INT64] * 3, *[INT32] * 4, *[POINTER] * 5]
    library.rnnprop_rule_step.argtypes = [INT32, INT64, INT64, INT32, *[POINTER] * 6]
    library.rnnprop_mixture_step.argtypes = [INT64, INT64, INT32, INT32, *[POINTER] * 3]
    return library
