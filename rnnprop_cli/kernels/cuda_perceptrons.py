"""How the Triton programs of perceptrons are launched.

Shape legend: S seeds, C cells, P coordinates, M minibatch.
"""

from itertools import pairwise
from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.cuda_launch import LAUNCH
from rnnprop_cli.kernels.passes import ACTIVATIONS, Perceptron

# Compiled for sm_80 to sm_120 these spill 8 bytes at most (`benchmarks/cuda_programs.py` tells). Not yet timed on a
# device.
EXAMPLES: Final = 16  # of a program that goes through the layers
DEPTH: Final = 64  # pixels that it takes at a time
ROWS: Final = 16  # of a weight matrix, of a program that sums over the examples
SUMMED: Final = 32  # examples that it takes at a time
SMALLEST_TILE: Final = 16  # columns of a product
WIDEST: Final = 64  # a wider layer is better off with a library's products
DEEPEST: Final = 8  # hidden layers: the program is written out layer by layer


def tiled(perceptron: Perceptron) -> dict[str, Any] | None:
    """The constants of the programs for this perceptron; None where they do not pay."""
    n_inputs, *hidden, n_classes = perceptron.widths
    width = max(*hidden, n_classes) if hidden else n_classes
    if (
        len({*hidden}) > 1
        or len(hidden) > DEEPEST
        or width > WIDEST
        or perceptron.activation not in ACTIVATIONS
    ):
        return None
    units = max(SMALLEST_TILE, 1 << (width - 1).bit_length())
    sizes = {"D": n_inputs, "H": hidden[0] if hidden else 1, "CLASSES": n_classes, "HIDDEN": len(hidden)}
    return sizes | {"UNITS": units}


def losses_and_gradient(
    programs: ModuleType,
    perceptron: Perceptron,
    index_SM: Tensor,
    params_CP: Tensor,
    factor_SP: Tensor | None = None,
    *,
    gradient: bool,
) -> tuple[Tensor, Tensor | None] | None:
    """[C] mean cross-entropy and, if wanted, its gradient [C, P]; None where this does not pay.

    With factors the loss is that of factor times params, the gradient that with respect to the params.
    """
    constants = tiled(perceptron)
    if constants is None:
        return None
    n_cells, n_coordinates = params_CP.shape
    n_seeds, n_examples = index_SM.shape
    if n_coordinates != sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(perceptron.widths)):
        raise ValueError(f"{n_coordinates} coordinates do not fit the widths {perceptron.widths}")
    if n_cells % n_seeds or perceptron.pixels_ND.shape[1] != constants["D"]:
        raise ValueError(f"{n_cells} cells on {n_seeds} seeds, images of {perceptron.pixels_ND.shape}")
    if params_CP.stride(1) != 1:
        params_CP = params_CP.contiguous()
    if index_SM.stride(1) != 1:
        index_SM = index_SM.contiguous()
    hidden, units = constants["HIDDEN"], constants["UNITS"]
    kept = n_examples if gradient else 0
    acts = params_CP.new_empty(n_cells, hidden, kept, units)
    deltas = params_CP.new_empty(n_cells, hidden + 1, kept, units)
    blocks = -(-n_examples // EXAMPLES)
    losses = params_CP.new_empty(n_cells, blocks)
    data = (perceptron.pixels_ND, index_SM)
    common = (n_cells // n_seeds, n_examples, n_coordinates, blocks)
    factors, scaled = (params_CP, False) if factor_SP is None else (factor_SP.contiguous(), True)
    scaling = (perceptron.scale, perceptron.shift)
    with torch.cuda.device_of(params_CP):  # type: ignore[no-untyped-call]
        programs.examples_program[(n_cells * blocks,)](
            *data, perceptron.labels_N, params_CP, factors, acts, deltas, losses,
            index_SM.stride(0), params_CP.stride(0), *common, *scaling,
            ACTIVATION=perceptron.activation, SCALED=scaled, GRADIENT=gradient,
            DEPTH=DEPTH, BLOCK=EXAMPLES, **constants, **LAUNCH,
        )  # fmt: skip
        if not gradient:
            return losses.sum(1) / n_examples, None
        loss_C, grads_CP = params_CP.new_empty(n_cells), params_CP.new_empty(params_CP.shape)
        pieces = -(-constants["D"] // ROWS) + hidden * -(-constants["H"] // ROWS)
        programs.weights_program[(n_cells * pieces,)](
            *data, acts, deltas, losses, factors, loss_C, grads_CP, index_SM.stride(0), *common, pieces, *scaling,
            SCALED=scaled, ROWS=ROWS, BLOCK=SUMMED, LOSSES=1 << (blocks - 1).bit_length(), **constants, **LAUNCH,
        )  # fmt: skip
    return loss_C, grads_CP
