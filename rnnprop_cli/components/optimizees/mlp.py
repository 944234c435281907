"""The multilayer perceptron, with its gradient written out.

Shape legend: S seeds, C cells, K cells per seed, P coordinates, M minibatch, D inputs, H hidden units, O classes.

The first layer does nearly all the work. The K cells of one seed share the minibatch, so their first layers are one
product [M, D] x [D, K H] instead of K thin ones.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from rnnprop_cli.components.activations import NEED_INPUT, Activation, activate, slope
from rnnprop_cli.components.datasets import DatasetName, facts_of
from rnnprop_cli.components.datasets.base import IS_TEXT
from rnnprop_cli.components.optimizees.base import Given, OptimizeeSpec, TensorFacts, per_cell
from rnnprop_cli.components.optimizees.classification import Classifier
from rnnprop_cli.fields import Init, PositiveInt
from rnnprop_cli.lazy import no_grad, torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.minibatches import ImageMinibatches


class MLPSpec(OptimizeeSpec):
    """Cross-entropy of a multilayer perceptron (the base MLP: one hidden layer of 20 sigmoid units)."""

    kind: Literal["mlp"] = "mlp"
    dataset: DatasetName = "mnist"
    depth: Annotated[int, Field(ge=0, le=64)] = 1  # hidden layers
    hidden: PositiveInt = 20
    activation: Activation = "sigmoid"
    init: Init = "paper"

    @property
    def label(self) -> str:
        """See `OptimizeeSpec`."""
        width = "" if self.hidden == 20 else f" {self.hidden}"
        init = "" if self.init == "paper" else " torch-init"
        return f"mlp{width}{init}"

    @property
    def dataset_name(self) -> str | None:
        """See `OptimizeeSpec`."""
        return self.dataset

    @property
    def n_layers(self) -> int | None:
        """See `OptimizeeSpec`."""
        return self.depth

    @property
    def nonlinearity(self) -> str | None:
        """See `OptimizeeSpec`."""
        return self.activation

    def misfit(self) -> tuple[str, str] | None:
        """See `OptimizeeSpec`."""
        return ("dataset", IS_TEXT) if facts_of(self.dataset).text else None

    @property
    def widths(self) -> list[int]:
        """Inputs, hidden layers, classes."""
        facts = facts_of(self.dataset)
        return [prod(facts.shape), *[self.hidden] * self.depth, facts.outputs]

    def tensors(self) -> list[TensorFacts]:
        """See `OptimizeeSpec`: W_0 [D, H], b_0 [H], W_1, b_1, …"""
        return layers_of(self.widths)

    def numbers_per_example(self) -> int:
        """See `OptimizeeSpec`."""
        return 4 * sum(self.widths[1:])

    def build(self, given: Given) -> MLP:
        """See `OptimizeeSpec`."""
        from rnnprop_cli.components.minibatches import ImageMinibatches

        return MLP(self, ImageMinibatches.of(given))


def layers_of(widths: list[int]) -> list[TensorFacts]:
    """Weight and bias of every layer of a perceptron."""
    return [
        tensor
        for fan_in, fan_out in pairwise(widths)
        for tensor in (TensorFacts((fan_in, fan_out), fan_in), TensorFacts((fan_out,), fan_in, uses=0))
    ]


class Hidden(NamedTuple):
    """A hidden layer on one minibatch."""

    a_CMH: Tensor  # its outputs
    z_CMH: Tensor | None  # its inputs to the activation, where its derivative needs them


class MLP(Classifier):
    """Cross-entropy of D → hidden → … → hidden → classes."""

    def __init__(self, spec: MLPSpec, minibatches: ImageMinibatches) -> None:
        """
        Args:
            spec: widths and activation.
            minibatches: the data.
        """
        outputs = 1 if minibatches.n_classes is None else minibatches.n_classes
        self.widths = [minibatches.n_inputs, *[spec.hidden] * spec.depth, outputs]
        super().__init__(minibatches, layers_of(self.widths), spec.init)
        self.activation: Activation = spec.activation

    @property
    def widest(self) -> int:
        """See `Classifier`."""
        return max(shape[-1] for shape in self.layout.shapes)

    def logits(self, params_CP: Tensor, inputs_SMD: Tensor) -> Tensor:
        """See `Classifier`."""
        return self._forward(params_CP, inputs_SMD)[1]

    def _forward(self, params_CP: Tensor, inputs_SMD: Tensor) -> tuple[list[Hidden], Tensor]:
        """What the backward pass needs of every hidden layer, and the logits."""
        tensors = self.layout.split(params_CP)
        weights, biases = tensors[0::2], tensors[1::2]
        z_CMH = shared_product(inputs_SMD, weights[0]) + biases[0][:, None]
        keeps_input = self.activation in NEED_INPUT
        hidden = []
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            a_CMH = activate(self.activation, z_CMH)
            hidden.append(Hidden(a_CMH, z_CMH if keeps_input else None))
            z_CMH = torch.baddbmm(bias[:, None], a_CMH, weight)
        return hidden, z_CMH

    @no_grad
    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`."""
        minibatch = self.minibatches.at(step)
        inputs_SMD = minibatch.inputs_SMD
        hidden, logits_CMO = self._forward(params_CP, inputs_SMD)
        loss_C, delta = self._output_gradient(logits_CMO, per_cell(minibatch.targets_SM, len(params_CP)))
        grad_CP = torch.empty_like(params_CP)
        grads = self.layout.split(grad_CP)
        weights = self.layout.split(params_CP)[0::2]
        for layer in range(len(hidden), 0, -1):
            a_CMH, z_CMH = hidden[layer - 1]
            grads[2 * layer].copy_(a_CMH.mT @ delta)
            torch.sum(delta, 1, out=grads[2 * layer + 1])
            delta = delta @ weights[layer].mT
            delta *= slope(self.activation, a_CMH, z_CMH)
        shared_outer(inputs_SMD, delta, out=grads[0])
        torch.sum(delta, 1, out=grads[1])
        return loss_C, grad_CP

    def _output_gradient(self, logits_CMO: Tensor, targets_CM: Tensor) -> tuple[Tensor, Tensor]:
        """Loss [C], and its derivative with respect to the logits; these are overwritten."""
        n_examples = logits_CMO.shape[1]
        if self.minibatches.n_classes is None:
            delta = logits_CMO.sub_(targets_CM[..., None])
            return delta.square().mean((1, 2)), delta.mul_(2 / n_examples)
        log_p_CMO = torch.log_softmax(logits_CMO, dim=-1)
        targets_CM1 = targets_CM[..., None]
        loss_C = -log_p_CMO.gather(-1, targets_CM1).mean((1, 2))
        # (softmax - onehot) / M
        delta = log_p_CMO.exp_()
        delta.scatter_add_(-1, targets_CM1, delta.new_full((1, 1, 1), -1.0).expand_as(targets_CM1))
        delta /= n_examples
        return loss_C, delta


def shared_product(inputs_SMD: Tensor, weight_CDH: Tensor) -> Tensor:
    """[C, M, H] = inputs of the cell's seed times the cell's weight."""
    n_seeds, n_examples, n_inputs = inputs_SMD.shape
    n_cells, _, width = weight_CDH.shape
    if n_cells == n_seeds:
        return inputs_SMD @ weight_CDH
    per_seed = n_cells // n_seeds
    weight_SDKH = weight_CDH.view(n_seeds, per_seed, n_inputs, width).transpose(1, 2)
    product = inputs_SMD @ weight_SDKH.reshape(n_seeds, n_inputs, per_seed * width)
    return product.view(n_seeds, n_examples, per_seed, width).transpose(1, 2).flatten(0, 1)


def shared_outer(inputs_SMD: Tensor, delta_CMH: Tensor, out: Tensor) -> None:
    """out[c] = inputs^T delta[c], [C, D, H]: the gradient of `shared_product` with respect to the weight."""
    n_seeds, n_examples, n_inputs = inputs_SMD.shape
    n_cells, _, width = delta_CMH.shape
    if n_cells == n_seeds:
        out.copy_(inputs_SMD.mT @ delta_CMH)
        return
    per_seed = n_cells // n_seeds
    delta_SMKH = delta_CMH.view(n_seeds, per_seed, n_examples, width).transpose(1, 2)
    product = inputs_SMD.mT @ delta_SMKH.reshape(n_seeds, n_examples, per_seed * width)
    product_SDKH = product.view(n_seeds, n_inputs, per_seed, width)
    out.view(n_seeds, per_seed, n_inputs, width).copy_(product_SDKH.transpose(1, 2))
