"""How the compiled library is told of tensors that lie anywhere (`cpu_tensors.h`)."""

import ctypes
from array import array
from collections.abc import Sequence
from itertools import chain, repeat
from operator import attrgetter
from typing import Final, NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.kernels.cpu_library import check, code_of, sizes
from rnnprop_cli.kernels.network import Network
from rnnprop_cli.kernels.passes import MisfitError, TensorSteps

FORMATS: Final = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
DTYPE: Final = attrgetter("dtype")  # faster than a property of each in a loop
IS_CPU: Final = attrgetter("is_cpu")
N_BYTES: Final = attrgetter("nbytes")


class Packed(NamedTuple):
    """Tensors as the library reads them: column by column, as `unpacked` of cpu_tensors.h expects it."""

    n_tensors: int
    rows: int  # of h and c, one for each unit of each layer
    words: "array[int]"  # n; addresses of step, param, m, v, h, c and grad; formats of the last six
    numbers: "array[float]"  # rate, decay, sign
    n_bytes: list[int]  # of all tensors but the gradients; none where these are not all float32


def packed(tensors: TensorSteps, rows: int, last: Packed | None = None) -> Packed:
    """The tensors as the library reads them; whole columns at a time, for models may have hundreds.

    Every tensor is looked at again, for others may have changed it since the last step, in place too. But what lies
    where it lay and has as many bytes is taken to be of the same dtype and device: that need not be asked.

    Args:
        tensors: what to step.
        rows: of h and c, one for each unit of each layer.
        last: what was packed for the step before, of these tensors or of others.

    Raises:
        MisfitError: a tensor is not what the library can walk over: the C++ side reads raw pointers.
    """
    grads = tensors.grads
    others = [*tensors.steps, *tensors.params, *chain(*tensors.accumulators), *tensors.h, *tensors.c]
    count = len(grads)
    addresses = array("q", map(Tensor.data_ptr, others))
    n_bytes = [*map(N_BYTES, others)]
    known = (
        last is not None
        and last.rows == rows
        and last.n_bytes == n_bytes
        and last.words[count : 7 * count] == addresses
    )
    dtypes = [*map(DTYPE, grads)] if known else [*map(DTYPE, others[count:]), *map(DTYPE, grads)]
    sizes = [*map(Tensor.numel, grads)]
    kinds = {*dtypes}
    if not (
        kinds <= FORMATS.keys()
        and all(map(Tensor.is_contiguous, others))
        and all(map(Tensor.is_contiguous, grads))
        and all(map(IS_CPU, grads))
        and (last.words[:count].tolist() == sizes if last and known else _fit(others, sizes, rows))
    ):
        raise MisfitError(
            "tensors are not contiguous floats on the CPU, as many as there are coordinates, or steps are not "
            "counted in float32 there"
        )
    words = array("q", sizes) + addresses
    words.extend(map(Tensor.data_ptr, grads))
    if kinds <= {torch.float32}:
        words.extend(array("q", [code_of("format", FORMATS[torch.float32])]) * (6 * count))
    else:
        known_dtypes = repeat(torch.float32, 5 * count) if known else ()
        codes = {dtype: code_of("format", name) for dtype, name in FORMATS.items()}
        words.extend(map(codes.__getitem__, (*known_dtypes, *dtypes)))
        n_bytes = n_bytes if known else []
    numbers = array("d")
    for column in (tensors.rates, tensors.decays, tensors.signs):
        numbers.extend(column)
    return Packed(count, rows, words, numbers, n_bytes)


def _fit(others: Sequence[Tensor], sizes: list[int], rows: int) -> bool:
    """Whether steps are single float32, and the others on the CPU and as long as they must be."""
    count = len(sizes)
    return (
        {*map(DTYPE, others[:count])} <= {torch.float32}
        and all(map(IS_CPU, others))
        and [*map(Tensor.numel, others)] == [*repeat(1, count), *sizes * 3, *[rows * n for n in sizes] * 2]
    )


def step_tensors(
    library: ctypes.CDLL,
    network: Network,
    meta_params_Q: Tensor,
    tensors: Packed,
    averages: tuple[float, float, float],
) -> None:
    """One step of the packed tensors; `averages` are beta1, beta2 and eps."""
    addresses = (
        meta_params_Q.data_ptr(),
        *(each.buffer_info()[0] for each in (tensors.words, tensors.numbers)),
    )
    sizes_and_threads = (sizes(network), tensors.n_tensors, torch.get_num_threads())
    check(library.rnnprop_step_tensors(*sizes_and_threads, *addresses, *averages))
