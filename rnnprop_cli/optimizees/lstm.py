"""An LSTM that predicts the next value of a noisy sine (section 5.4.2).

Shape legend: S seeds, C cells, P coordinates, M sequences, H hidden units.
"""

import torch
from torch import Tensor

from rnnprop_cli.data.minibatches import SineMinibatches
from rnnprop_cli.kernels.passes import FusedPasses, Recurrence
from rnnprop_cli.numerics.layout import Layout
from rnnprop_cli.optimizees.base import Layered, Tensors
from rnnprop_cli.optimizees.classification import per_cell
from rnnprop_cli.spec.optimizees import LSTMSpec


class LSTM(Layered):
    """Mean squared error of the prediction of f(length), read linearly from the last output of the LSTM.

    Coordinates per layer: [x, h] → gates (i, f, g, o) as one matrix [D + H, 4H] and its bias; then [H, 1] and [1].
    """

    def __init__(
        self, spec: LSTMSpec, minibatches: SineMinibatches, passes: FusedPasses | None = None
    ) -> None:
        """
        Args:
            spec: width and depth.
            minibatches: the data.
            passes: take the gradient where they can.
        """
        self.passes = passes
        self.recurrence = Recurrence(spec.hidden, spec.layers)
        self.minibatches = minibatches
        self.hidden = spec.hidden
        self.layers = spec.layers
        shapes: list[tuple[int, ...]] = []
        fan_ins: list[int] = []
        width = 1
        for _ in range(spec.layers):
            shapes += [(width + spec.hidden, 4 * spec.hidden), (4 * spec.hidden,)]
            fan_ins += [spec.hidden] * 2  # torch.nn.LSTM's bound is 1/sqrt(hidden) for every weight
            width = spec.hidden
        shapes += [(spec.hidden, 1), (1,)]
        fan_ins += [spec.hidden] * 2
        layout = Layout(shapes, fan_ins)
        super().__init__(layout, minibatches.seeds, spec.init, minibatches.dtype, minibatches.device)

    def tensors(self, first: int, steps: int) -> Tensors | None:
        """See `Optimizee`."""
        return self.minibatches.tensors(first, steps)

    def load(self, first: int, tensors: Tensors) -> None:
        """See `Optimizee`."""
        self.minibatches.load(first, tensors)

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        minibatch = self.minibatches.at(step)
        wants_graph = torch.is_grad_enabled() and params_CP.requires_grad
        if self.passes is not None and self.passes.fits(params_CP) and not wants_graph:
            found = self.passes.lstm_loss(self.recurrence, *minibatch, params_CP)
            if found is not None:
                return found
        n_cells = len(params_CP)
        inputs_CML = per_cell(minibatch.inputs_SMD, n_cells)
        targets_CM = per_cell(minibatch.targets_SM, n_cells)
        tensors = self.layout.split(params_CP)
        sequence = list(inputs_CML[..., None].unbind(2))  # [C, M, 1] for every time
        for layer in range(self.layers):
            sequence = self._run_layer(tensors[2 * layer], tensors[2 * layer + 1], sequence)
        prediction_CM1 = torch.baddbmm(tensors[-1][:, None], sequence[-1], tensors[-2])
        return (prediction_CM1[..., 0] - targets_CM).square().mean(1)

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`."""
        if self.passes is not None and self.passes.fits(params_CP):
            found = self.passes.lstm_gradient(self.recurrence, *self.minibatches.at(step), params_CP)
            if found is not None:
                return found
        return super().loss_and_grad(params_CP, step)

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
