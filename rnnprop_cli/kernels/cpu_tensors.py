"""How the compiled library is told of tensors that lie anywhere (`cpu_tensors.h`)."""

import ctypes
from array import array
from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.kernels.cpu_library import check, sizes
from rnnprop_cli.kernels.network import Network
from rnnprop_cli.kernels.passes import MisfitError, TensorStep

# `Format` of cpu_numbers.h.
FORMATS: Final[dict[torch.dtype, int]] = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
DTYPE: Final = attrgetter("dtype")  # faster than a property of each in a loop
IS_CPU: Final = attrgetter("is_cpu")


class Packed(NamedTuple):
    """Tensors as the library reads them: column by column, as `unpacked` of cpu_tensors.h expects it."""

    n_tensors: int
    words: (
        "array[int]"  # n, address of the step; of param, grad, m, v, h and c the addresses, then the formats
    )
    numbers: "array[float]"  # rate, decay, sign


def packed(tensors: Sequence[TensorStep], rows: int) -> Packed:
    """The tensors as the library reads them; column by column, for models may have hundreds.

    Args:
        tensors: what to step.
        rows: of h and c, one for each unit of each layer.

    Raises:
        MisfitError: a tensor is not what the library can walk over: the C++ side reads raw pointers.
    """
    params, grads, steps, moments, h, c, rates, decays, maximize = zip(*tensors, strict=True)
    m, v = zip(*moments, strict=True)
    sizes = [*map(Tensor.numel, params)]
    wide = [rows * n for n in sizes]
    if not (
        {*map(DTYPE, steps)} == {torch.float32}
        and {*map(Tensor.numel, steps)} == {1}
        and all(map(IS_CPU, steps))
    ):
        raise MisfitError("steps are not counted in float32 on the CPU")
    pointers: list[int] = []
    formats: list[int] = []
    for column, expected in ((params, sizes), (grads, sizes), (m, sizes), (v, sizes), (h, wide), (c, wide)):
        dtypes = [*map(DTYPE, column)]
        if not (
            {*dtypes} <= FORMATS.keys()
            and [*map(Tensor.numel, column)] == expected
            and all(map(Tensor.is_contiguous, column))
            and all(map(IS_CPU, column))
        ):
            raise MisfitError(
                "tensors are not contiguous floats on the CPU, as many as there are coordinates"
            )
        pointers += map(Tensor.data_ptr, column)
        formats += map(FORMATS.__getitem__, dtypes)
    words = array("q", [*sizes, *map(Tensor.data_ptr, steps), *pointers, *formats])
    signs = [-1.0 if each else 1.0 for each in maximize]
    return Packed(len(sizes), words, array("d", [*rates, *decays, *signs]))


def step_tensors(
    library: ctypes.CDLL,
    network: Network,
    meta_params_Q: Tensor,
    tensors: Packed,
    averages: tuple[float, float, float],
) -> None:
    """One step of the packed tensors; `averages` are beta1, beta2 and eps."""
    addresses = meta_params_Q.data_ptr(), *(each.buffer_info()[0] for each in tensors[1:])
    sizes_and_threads = (sizes(network), tensors.n_tensors, torch.get_num_threads())
    check(library.rnnprop_step_tensors(*sizes_and_threads, *addresses, *averages))
