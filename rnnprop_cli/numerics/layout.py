"""Where the tensors of a network lie in one flat vector.

Shape legend: S seeds, C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, NamedTuple

from rnnprop_cli.lazy import torch
from rnnprop_cli.numerics.sending import sent
from rnnprop_cli.seeds import derive_seed

if TYPE_CHECKING:
    from torch import Tensor


class MatrixBlock(NamedTuple):
    """A weight matrix inside the flat vector of coordinates."""

    start: int
    rows: int
    columns: int


def usual_fan_ins(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """Inputs of a unit of tensors that are laid out as in torch.nn, [outputs, inputs, …]; 0: none of its own."""
    return [prod(shape[1:]) if len(shape) > 1 else 0 for shape in shapes]


class Layout:
    """Where each tensor of a network lies in the flat vector of its coordinates."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], fan_ins: Sequence[int]) -> None:
        self.shapes = [tuple(shape) for shape in shapes]
        self.fan_ins = list(fan_ins)
        self.sizes = [prod(shape) for shape in self.shapes]
        self.n_coordinates = sum(self.sizes)

    def matrices(self) -> tuple[MatrixBlock, ...]:
        """Every tensor of two or more axes but the last one, its later axes flattened into columns."""
        starts = [sum(self.sizes[:index]) for index in range(len(self.sizes))]
        blocks = [
            MatrixBlock(start, shape[0], size // shape[0])
            for start, shape, size in zip(starts, self.shapes, self.sizes, strict=True)
            if len(shape) > 1
        ]
        return tuple(blocks[:-1])

    def split(self, params_CP: Tensor) -> list[Tensor]:
        """Views [C, *shape] of every tensor."""
        parts = torch.split(params_CP, self.sizes, dim=1)
        return [part.view(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def init_params(
        self, seeds: Sequence[int], init: str, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """theta_0, [S, P]; a pure function of each seed, drawn on the CPU so that every device gets the same.

        Args:
            seeds: one per row.
            init: "paper": every weight and bias ~ Normal(0, std 0.1); "torch": U(-b, b), b = 1/sqrt(fan-in),
                the default of torch.nn's layers, and zero where fan-in is 0.
            dtype: of the result (numbers are drawn in float32).
            device: of the result.
        """
        rows = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(derive_seed(seed, "theta_0"))
            if init == "paper":
                rows.append(0.1 * torch.randn(self.n_coordinates, generator=generator))
            else:
                uniform = torch.rand(self.n_coordinates, generator=generator) * 2 - 1
                bounds = [
                    torch.full((size,), 1 / sqrt(fan_in) if fan_in else 0.0)
                    for size, fan_in in zip(self.sizes, self.fan_ins, strict=True)
                ]
                rows.append(uniform * torch.cat(bounds))
        return sent(torch.stack(rows), device, dtype)
