"""An LSTM that predicts the next value of a noisy sine (section 5.4.2).

Shape legend: S seeds, C cells, P coordinates, M sequences, H hidden units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rnnprop_cli.components.optimizees.base import (
    Given,
    Layered,
    OptimizeeSpec,
    TensorFacts,
    Tensors,
    per_cell,
)
from rnnprop_cli.fields import Init, PositiveInt
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.minibatches import SineMinibatches


class LSTMSpec(OptimizeeSpec):
    """Mean squared error of an LSTM that predicts the next value of a noisy sine (section 5.4.2)."""

    kind: Literal["lstm"] = "lstm"
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    hidden: PositiveInt = 20
    noise: Annotated[float, Field(ge=0)] = 0.1  # standard deviation
    length: Annotated[int, Field(ge=1, le=1000)] = 10
    init: Init = "paper"

    @property
    def label(self) -> str:
        """See `OptimizeeSpec`."""
        parts = [f"lstm noise {self.noise:g}"]
        parts += [] if self.hidden == 20 else [f"hidden {self.hidden}"]
        parts += [] if self.length == 10 else [f"length {self.length}"]
        parts += [] if self.init == "paper" else ["torch-init"]
        return " ".join(parts)

    @property
    def n_layers(self) -> int | None:
        """See `OptimizeeSpec`."""
        return self.layers

    def tensors(self) -> list[TensorFacts]:
        """See `OptimizeeSpec`: [x, h] → gates (i, f, g, o) of every layer as one matrix [D + H, 4H] and its bias; then
        [H, 1] and [1]. Every weight's bound is 1/sqrt(hidden), as in torch.nn.LSTM."""
        tensors = []
        width = 1
        for _ in range(self.layers):
            gates = 4 * self.hidden
            tensors += [
                TensorFacts((width + self.hidden, gates), self.hidden, self.length),
                TensorFacts((gates,), self.hidden, self.length),
            ]
            width = self.hidden
        return [
            *tensors,
            TensorFacts((self.hidden, 1), self.hidden, self.length),
            TensorFacts((1,), self.hidden, self.length),
        ]

    def numbers_per_example(self) -> int:
        """See `OptimizeeSpec`."""
        return self.length * self.layers * self.hidden * 24

    def build(self, given: Given) -> LSTM:
        """See `OptimizeeSpec`."""
        from rnnprop_cli.components.minibatches import SineMinibatches

        noisy = SineMinibatches(
            given.seeds, given.minibatch, self.noise, self.length, given.device, given.dtype
        )
        return LSTM(self, noisy)


class LSTM(Layered):
    """Mean squared error of the prediction of f(length), read linearly from the last output of the LSTM."""

    def __init__(self, spec: LSTMSpec, minibatches: SineMinibatches) -> None:
        """
        Args:
            spec: width and depth.
            minibatches: the data.
        """
        self.minibatches = minibatches
        self.hidden = spec.hidden
        self.layers = spec.layers
        super().__init__(spec.tensors(), minibatches.seeds, spec.init, minibatches.dtype, minibatches.device)

    def tensors(self, first: int, steps: int) -> Tensors | None:
        """See `Optimizee`."""
        return self.minibatches.tensors(first, steps)

    def load(self, first: int, tensors: Tensors) -> None:
        """See `Optimizee`."""
        self.minibatches.load(first, tensors)

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        minibatch = self.minibatches.at(step)
        n_cells = len(params_CP)
        inputs_CML = per_cell(minibatch.inputs_SMD, n_cells)
        targets_CM = per_cell(minibatch.targets_SM, n_cells)
        tensors = self.layout.split(params_CP)
        sequence = list(inputs_CML[..., None].unbind(2))  # [C, M, 1] for every time
        for layer in range(self.layers):
            sequence = self._run_layer(tensors[2 * layer], tensors[2 * layer + 1], sequence)
        prediction_CM1 = torch.baddbmm(tensors[-1][:, None], sequence[-1], tensors[-2])
        return (prediction_CM1[..., 0] - targets_CM).square().mean(1)

    def _run_layer(self, weight: Tensor, bias: Tensor, sequence: list[Tensor]) -> list[Tensor]:
        """Outputs [C, M, H] of one layer for every time."""
        n_cells, n_sequences, _ = sequence[0].shape
        h = c = sequence[0].new_zeros(n_cells, n_sequences, self.hidden)
        outputs = []
        for x in sequence:
            gates = torch.baddbmm(bias[:, None], torch.cat([x, h], dim=2), weight)
            i, f, g, o = gates.chunk(4, dim=2)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return outputs
