"""How the compiled library is told of a step of a mixture of directions (`cpu_mixture.h`)."""

import ctypes
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnprop_cli.kernels.cpu_library import check
from rnnprop_cli.kernels.cpu_tensors import FORMATS
from rnnprop_cli.kernels.passes import MisfitError

MOMENTS: Final = 3
WORDS: Final = 11  # of each tensor, see `rnnprop_mixture_step`
FLOAT_BYTES: Final = 4


class MixtureTensors(NamedTuple):
    """Tensors that lie anywhere: contiguous, on the CPU; moments, averages and directions in float32."""

    params: Sequence[Tensor]
    grads: Sequence[Tensor]
    m: Sequence[Tensor]  # [3, *shape of the param]
    v: Sequence[Tensor]
    directions: Sequence[Tensor]  # memory to work in
    shares: Sequence[float]  # of the rate


def pack_numbers(
    decays_CK: NDArray[np.float64],
    t: int,
    mixture_CB: NDArray[np.float64],
    rate_C: NDArray[np.float64],
    kept_C: NDArray[np.float64],
    network_CN: NDArray[np.float64],
) -> NDArray[np.float32]:
    """What every cell steps by, as `MixtureNumbers` reads it.

    Args:
        decays_CK: [C, 4] of the first moments and of the second.
        t: number of the step, from 1 on.
        mixture_CB: [C, 5].
        rate_C: [C] of the direction.
        kept_C: [C] what is left of the params.
        network_CN: [C, N] weight, bias and out, flat; N = 0 without a network.
    """
    corrected_CK = 1 / (1 - decays_CK**t)
    columns = (decays_CK, corrected_CK, mixture_CB, rate_C[:, None], kept_C[:, None], network_CN)
    return np.concatenate(columns, axis=1, dtype=np.float32)


def step_side_by_side(
    library: ctypes.CDLL,
    numbers: NDArray[np.float32],
    hidden: int,
    sizes: NDArray[np.int64],
    shares_CG: NDArray[np.float32],
    tensors_CP: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
) -> None:
    """One step of cells whose tensors lie side by side.

    Args:
        library: the compiled kernel.
        numbers: from `pack_numbers`.
        hidden: units of the network.
        sizes: [G] coordinates of every tensor.
        shares_CG: [C, G] of the rate.
        tensors_CP: params, gradients, moments [3, C, P], second moments and memory for the direction; float32.
    """
    params_CP, grads_CP, m_KCP, v_CP, direction_CP = tensors_CP
    n_cells, n_coordinates = params_CP.shape
    for tensor in tensors_CP:
        if tensor.dtype != torch.float32 or not tensor.is_contiguous() or not tensor.is_cpu:
            raise MisfitError("not contiguous float32 on the CPU")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    at = FLOAT_BYTES * (np.arange(n_cells)[:, None] * n_coordinates + starts[None])  # bytes from the first
    words = np.zeros((n_cells, len(sizes), WORDS), dtype=np.int64)
    words[..., 0], words[..., 1] = sizes, np.arange(n_cells)[:, None]
    first = [params_CP, grads_CP, *m_KCP, v_CP, direction_CP]
    for column, tensor in enumerate(first, start=2):
        words[..., column] = tensor.data_ptr() + at
    _step(library, n_cells, hidden, words.reshape(-1, WORDS), np.ascontiguousarray(shares_CG), numbers)


def step_tensors(
    library: ctypes.CDLL, numbers: NDArray[np.float32], hidden: int, tensors: MixtureTensors
) -> None:
    """One step of tensors that lie anywhere, all by the same numbers.

    Raises:
        MisfitError: a tensor does not lie as it must.
    """
    every = [*tensors.params, *tensors.grads, *tensors.m, *tensors.v, *tensors.directions]
    own = every[2 * len(tensors.params) :]
    if (
        not all(tensor.is_contiguous() and tensor.is_cpu for tensor in every)
        or {tensor.dtype for tensor in own} - {torch.float32}
        or {tensor.dtype for tensor in every} - FORMATS.keys()
    ):
        raise MisfitError("not contiguous floats on the CPU")
    words = np.zeros((len(tensors.params), WORDS), dtype=np.int64)
    rows = zip(tensors.params, tensors.grads, tensors.m, tensors.v, tensors.directions, strict=True)
    for row, (param, grad, m, v, direction) in zip(words, rows, strict=True):
        n = param.numel()
        row[0], row[2], row[3] = n, param.data_ptr(), grad.data_ptr()
        row[4:7] = m.data_ptr() + FLOAT_BYTES * n * np.arange(MOMENTS)
        row[7], row[8] = v.data_ptr(), direction.data_ptr()
        row[9], row[10] = FORMATS[param.dtype], FORMATS[grad.dtype]
    _step(library, 1, hidden, words, np.array(tensors.shares, dtype=np.float32), numbers)


def _step(
    library: ctypes.CDLL,
    n_cells: int,
    hidden: int,
    words: NDArray[np.int64],
    shares: NDArray[np.float32],
    numbers: NDArray[np.float32],
) -> None:
    addresses = (each.ctypes.data for each in (words, shares, numbers))
    check(library.rnnprop_mixture_step(n_cells, len(words), hidden, torch.get_num_threads(), *addresses))
