"""How the compiled library is told of a step of a mixture of directions (`cpu_mixture.h`)."""

import ctypes
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnprop_cli.kernels.cpu_library import check, code_of
from rnnprop_cli.kernels.cpu_tensors import FORMATS
from rnnprop_cli.kernels.passes import MisfitError

WORDS: Final = 11  # of each tensor, see `rnnprop_mixture_step`
FLOAT_BYTES: Final = 4


class MixtureTensors(NamedTuple):
    """Tensors that lie anywhere: contiguous, on the CPU; moments, averages and directions in float32."""

    params: Sequence[Tensor]
    grads: Sequence[Tensor]
    moments: Sequence[Sequence[Tensor]]  # four columns: the first moments and the second
    directions: Sequence[Tensor]  # memory to work in
    cells: Sequence[int]  # row of the numbers of each
    shares: Sequence[float]  # of the rate


class MixtureNumbers(NamedTuple):
    """What cells step by besides where they stand."""

    decays_CK: NDArray[np.float64]  # [C, 4] of the first moments and of the second
    mixture_CB: NDArray[np.float64]  # [C, 5]
    network_CN: NDArray[np.float64]  # [C, N] weight, bias and out, flat; N = 0 without a network

    @classmethod
    def of(cls, named: Sequence[Mapping[str, Tensor]]) -> "MixtureNumbers":
        """From the meta-params of `MixtureRule`, by name, of every cell."""
        network = [name for name in ("network.weight", "network.bias", "network.out") if name in named[0]]
        rows = [
            torch.cat([each[name].reshape(-1) for name in network]) if network else None for each in named
        ]
        return cls(
            _stacked([each["decays"].double().sigmoid() for each in named]),
            _stacked([each["mixture"] for each in named]),
            _stacked([row for row in rows if row is not None]) if network else np.zeros((len(named), 0)),
        )

    def packed(
        self, t_C: NDArray[np.int64], rate_C: NDArray[np.float64], kept_C: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """[C, …] as `MixtureNumbers` of cpu_mixture.h reads it.

        Args:
            t_C: [C] number of the step, from 1 on.
            rate_C: [C] what the direction is multiplied with.
            kept_C: [C] what is left of the params.
        """
        corrected_CK = 1 / (1 - self.decays_CK ** t_C[:, None])
        columns = (
            self.decays_CK,
            corrected_CK,
            self.mixture_CB,
            rate_C[:, None],
            kept_C[:, None],
            self.network_CN,
        )
        return np.concatenate(columns, axis=1, dtype=np.float32)

    def repeated(self, times: int) -> "MixtureNumbers":
        """Of one cell, for so many alike."""
        return MixtureNumbers(*(np.repeat(each, times, axis=0) for each in self))


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
        numbers: [C, …] from `MixtureNumbers.packed`.
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
    words = np.full((n_cells, len(sizes), WORDS), code_of("format", FORMATS[torch.float32]), dtype=np.int64)
    words[..., 0], words[..., 1] = sizes, np.arange(n_cells)[:, None]
    first = [params_CP, grads_CP, *m_KCP, v_CP, direction_CP]
    for column, tensor in enumerate(first, start=2):
        words[..., column] = tensor.data_ptr() + at
    _step(library, n_cells, hidden, words.reshape(-1, WORDS), np.ascontiguousarray(shares_CG), numbers)


def step_tensors(
    library: ctypes.CDLL, numbers: NDArray[np.float32], hidden: int, tensors: MixtureTensors
) -> None:
    """One step of tensors that lie anywhere.

    Args:
        library: the compiled kernel.
        numbers: [C, …] from `MixtureNumbers.packed`.
        hidden: units of the network.
        tensors: what to step.

    Raises:
        MisfitError: a tensor does not lie as it must; nothing has moved.
    """
    own = [*chain(*tensors.moments), *tensors.directions]
    every = [*tensors.params, *tensors.grads, *own]
    sizes = [tensor.numel() for tensor in tensors.params]
    if (
        not all(tensor.is_contiguous() and tensor.is_cpu for tensor in every)
        or [tensor.numel() for tensor in every] != sizes * 7
        or {tensor.dtype for tensor in own} - {torch.float32}
        or {tensor.dtype for tensor in every} - FORMATS.keys()
    ):
        raise MisfitError("not contiguous floats on the CPU")
    codes = {dtype: code_of("format", name) for dtype, name in FORMATS.items()}
    columns = [
        sizes,
        tensors.cells,
        *([each.data_ptr() for each in column] for column in (tensors.params, tensors.grads)),
        *([each.data_ptr() for each in column] for column in (*tensors.moments, tensors.directions)),
        *([codes[each.dtype] for each in column] for column in (tensors.params, tensors.grads)),
    ]
    words = np.array(columns, dtype=np.int64).T.copy()
    _step(library, len(numbers), hidden, words, np.array(tensors.shares, dtype=np.float32), numbers)


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


def _stacked(parts: list[Tensor]) -> NDArray[np.float64]:
    stacked: NDArray[np.float64] = torch.stack(parts).double().cpu().numpy()
    return stacked
