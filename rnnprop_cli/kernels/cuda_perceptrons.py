"""How the Triton programs of perceptrons are launched.

Shape legend: S seeds, C cells, P coordinates, M minibatch.
"""

from itertools import pairwise
from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.cuda_launch import OPTIONS
from rnnprop_cli.kernels.passes import ACTIVATIONS, Perceptron

# What goes through the layers takes BLOCK examples, and DEPTH pixels at a time; what sums over the examples takes ROWS
# rows of a weight matrix, and BLOCK examples at a time. Measured for 112 cells, and for a single one.
OF_MANY: Final = {"BLOCK": 16, "DEPTH": 32, "num_warps": 2} | OPTIONS
SUMS_OF_MANY: Final = {"BLOCK": 32, "ROWS": 64, "num_warps": 2} | OPTIONS
OF_FEW: Final = {"BLOCK": 16, "DEPTH": 64, "num_warps": 4} | OPTIONS
SUMS_OF_FEW: Final = {"BLOCK": 128, "ROWS": 16, "num_warps": 2} | OPTIONS
FEW: Final = 16  # cells that do not fill a GPU: the first layer is shared out among programs, PIXELS to each
PIXELS: Final = 64
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


def sized(tile: dict[str, Any], units: int) -> dict[str, Any]:
    """A tile of so many units: of wide layers twice as many threads hold it."""
    return tile | {"num_warps": tile["num_warps"] * (2 if units > 32 else 1)}


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
    # Not by the number of cells alone: a benchmark's cells get the same bits in any company.
    few = factor_SP is not None and n_cells <= FEW
    tiles = (OF_FEW, SUMS_OF_FEW) if few else (OF_MANY, SUMS_OF_MANY)
    through, summing = (sized(tile, constants["UNITS"]) for tile in tiles)
    blocks = -(-n_examples // through["BLOCK"])
    losses = params_CP.new_empty(n_cells, blocks)
    data = (perceptron.pixels_ND, index_SM)
    common = (n_cells // n_seeds, n_examples, n_coordinates, blocks)
    factors, scaled = (params_CP, False) if factor_SP is None else (factor_SP.contiguous(), True)
    pieces = -(-constants["D"] // PIXELS) if few else 0
    sums = params_CP.new_empty(n_cells, pieces, n_examples, units)
    strides = (index_SM.stride(0), params_CP.stride(0))
    scaling = (perceptron.scale, perceptron.shift)
    with torch.cuda.device_of(params_CP):  # type: ignore[no-untyped-call]
        if pieces:
            programs.pixels_program[(n_cells * blocks * pieces,)](
                *data, params_CP, factors, sums, *strides, *common, *scaling,
                D=constants["D"], W=perceptron.widths[1], SCALED=scaled, PIECES=pieces, PIXELS=PIXELS,
                UNITS=units, **through,
            )  # fmt: skip
        programs.examples_program[(n_cells * blocks,)](
            *data, perceptron.labels_N, params_CP, factors, sums, acts, deltas, losses, *strides, *common, *scaling,
            ACTIVATION=perceptron.activation, SCALED=scaled, PIECES=pieces, GRADIENT=gradient,
            **through, **constants,
        )  # fmt: skip
        if not gradient:
            return losses.sum(1) / n_examples, None
        loss_C, grads_CP = params_CP.new_empty(n_cells), params_CP.new_empty(params_CP.shape)
        rows = -(-constants["D"] // summing["ROWS"]) + hidden * -(-constants["H"] // summing["ROWS"])
        programs.weights_program[(n_cells * rows,)](
            *data, acts, deltas, losses, factors, loss_C, grads_CP, index_SM.stride(0), *common, rows, *scaling,
            SCALED=scaled, **summing, LOSSES=1 << (blocks - 1).bit_length(), **constants,
        )  # fmt: skip
    return loss_C, grads_CP
