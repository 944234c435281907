"""Optimizees whose losses and gradients a kernel's passes take where that pays.

Each is its plain form (`components.optimizees`), which takes what the passes do not.

Shape legend: S seeds, C cells, P coordinates, M minibatch, D pixels, O classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.optimizees.base import Given, Optimizee, OptimizeeSpec
from rnnprop_cli.components.optimizees.conv import Conv
from rnnprop_cli.components.optimizees.lstm import LSTM
from rnnprop_cli.components.optimizees.mlp import MLP
from rnnprop_cli.components.optimizees.quadratic import Quadratic
from rnnprop_cli.fields import Sampling
from rnnprop_cli.kernels.passes import ACTIVATIONS, ConvNet, FusedPasses, Perceptron, Recurrence


def build_optimizee(
    spec: OptimizeeSpec,
    dataset: Dataset | None,
    seeds: Sequence[int],
    minibatch: int,
    dtype: torch.dtype,
    device: torch.device,
    passes: FusedPasses | None = None,
    sampling: Sampling = "epochs",
) -> Optimizee:
    """The optimizee that `spec` describes, bound to its data and seeds, as fast as it can be had.

    Args:
        spec: what to build.
        dataset: the one that the spec names, where it names one.
        seeds: S seeds; each fixes theta_0 and all minibatches of its cells.
        minibatch: M, examples per step.
        dtype: of params and data.
        device: of params and data.
        passes: take gradients in one pass where they can.
        sampling: how minibatches are drawn from the dataset.

    Raises:
        UsageError: an epoch of the dataset is smaller than a minibatch.
    """
    plain = spec.build(Given(dataset, seeds, minibatch, dtype, device, sampling))
    return plain if passes is None else accelerated(plain, passes)


def accelerated(plain: Optimizee, passes: FusedPasses) -> Optimizee:
    """The optimizee with what the passes can do for it; itself where that is nothing."""
    if isinstance(plain, MLP) and plain.activation in ACTIVATIONS and plain.minibatches.counts_pixels:
        return FusedMLP(plain, passes)
    if isinstance(plain, Conv) and _is_plain(plain):
        return FusedConv(plain, passes)
    if isinstance(plain, Quadratic):
        return FusedQuadratic(plain, passes)
    return FusedLSTM(plain, passes) if isinstance(plain, LSTM) else plain


def _is_plain(conv: Conv) -> bool:
    """Whether it is a classifier with ReLU and nothing else, which is all that the passes know of convolutions."""
    added = any(layer.residual for layer in conv.walked)
    known = conv.activation == "relu" and conv.norm == "none" and not added
    return known and conv.minibatches.n_classes is not None


def _wanted(passes: FusedPasses, params_CP: Tensor) -> bool:
    """Whether a loss may come without a graph, in memory that the passes take."""
    return passes.fits(params_CP) and not (torch.is_grad_enabled() and params_CP.requires_grad)


class FusedMLP(MLP):
    """Gathers, products and activations of a perceptron in one pass."""

    def __init__(self, plain: MLP, passes: FusedPasses) -> None:
        vars(self).update(vars(plain))
        self.passes = passes
        self.perceptron = Perceptron(tuple(plain.widths), plain.activation, *plain.minibatches.stored)

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        if _wanted(self.passes, params_CP):
            found = self.passes.perceptron_loss(self.perceptron, self.minibatches.indices(step), params_CP)
            if found is not None:
                return found
        return super().loss(params_CP, step)

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`."""
        if self.passes.fits(params_CP):
            index_SM = self.minibatches.indices(step)
            found = self.passes.perceptron_gradient(self.perceptron, index_SM, params_CP)
            if found is not None:
                return found
        return super().loss_and_grad(params_CP, step)

    def scaled_loss_and_grad(
        self, params_CP: Tensor, factor_SP: Tensor, step: int
    ) -> tuple[Tensor, Tensor] | None:
        """See `TakesFactors`."""
        if not self.passes.fits(factor_SP):
            return None
        index_SM = self.minibatches.indices(step)
        return self.passes.perceptron_gradient(self.perceptron, index_SM, params_CP, factor_SP)


class FusedQuadratic(Quadratic):
    """Distances, losses and gradients in one pass."""

    def __init__(self, plain: Quadratic, passes: FusedPasses) -> None:
        vars(self).update(vars(plain))
        self.passes = passes

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`."""
        if self.passes.fits(params_CP):
            found = self.passes.quadratic_gradient(self.target_Sn, self.clip, params_CP)
            if found is not None:
                return found
        return super().loss_and_grad(params_CP, step)

    def scaled_loss_and_grad(
        self, params_CP: Tensor, factor_SP: Tensor, step: int
    ) -> tuple[Tensor, Tensor] | None:
        """See `TakesFactors`."""
        if not self.passes.fits(factor_SP):
            return None
        return self.passes.quadratic_gradient(self.target_Sn, self.clip, params_CP, factor_SP)


class FusedConv(Conv):
    """Products over patches, a cell a thread."""

    def __init__(self, plain: Conv, passes: FusedPasses) -> None:
        vars(self).update(vars(plain))
        self.passes = passes
        layers = tuple((layer.letter, layer.size) for layer in plain.walked)
        self.net = ConvNet(plain.image_shape, layers)

    def logits(self, params_CP: Tensor, inputs_SMD: Tensor) -> Tensor:
        """See `Classifier`."""
        if _wanted(self.passes, params_CP):
            found = self.passes.conv_logits(self.net, inputs_SMD, params_CP)
            if found is not None:
                return found
        return super().logits(params_CP, inputs_SMD)

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`."""
        if self.passes.fits(params_CP):
            minibatch = self.minibatches.at(step)
            found = self.passes.conv_gradient(self.net, minibatch.inputs_SMD, minibatch.targets_SM, params_CP)
            if found is not None:
                return found
        return super().loss_and_grad(params_CP, step)


class FusedLSTM(LSTM):
    """All times of an LSTM in one pass."""

    def __init__(self, plain: LSTM, passes: FusedPasses) -> None:
        vars(self).update(vars(plain))
        self.passes = passes
        self.recurrence = Recurrence(plain.hidden, plain.layers)

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        if _wanted(self.passes, params_CP):
            found = self.passes.lstm_loss(self.recurrence, *self.minibatches.at(step), params_CP)
            if found is not None:
                return found
        return super().loss(params_CP, step)

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`."""
        if self.passes.fits(params_CP):
            found = self.passes.lstm_gradient(self.recurrence, *self.minibatches.at(step), params_CP)
            if found is not None:
                return found
        return super().loss_and_grad(params_CP, step)
