"""The multilayer perceptron, with its gradient written out.

Shape legend: S seeds, C cells, K cells per seed, P coordinates, M minibatch, D inputs, H hidden units, O classes.

The first layer does nearly all the work. The K cells of one seed share the minibatch, so their first layers are one
product [M, D] x [D, K H] instead of K thin ones.
"""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import elu

from rnnprop_cli.data.minibatches import ImageMinibatches
from rnnprop_cli.kernels.passes import FusedPasses, Perceptron
from rnnprop_cli.numerics.layout import Layout
from rnnprop_cli.optimizees.classification import Classifier, per_cell
from rnnprop_cli.spec.optimizees import Activation, MLPSpec


class MLP(Classifier):
    """Cross-entropy of D → hidden → … → hidden → classes. Coordinates: W_0 [D, H], b_0 [H], W_1, b_1, …"""

    def __init__(
        self, spec: MLPSpec, minibatches: ImageMinibatches, passes: FusedPasses | None = None
    ) -> None:
        """
        Args:
            spec: widths and activation.
            minibatches: the data.
            passes: take the gradient where they can.
        """
        widths = [minibatches.n_inputs, *[spec.hidden] * spec.depth, minibatches.n_classes]
        shapes: list[tuple[int, ...]] = []
        fan_ins: list[int] = []
        for fan_in, fan_out in pairwise(widths):
            shapes += [(fan_in, fan_out), (fan_out,)]
            fan_ins += [fan_in, fan_in]
        super().__init__(minibatches, Layout(shapes, fan_ins), spec.init)
        self.activation: Activation = spec.activation
        self.passes = passes
        self.perceptron = Perceptron(tuple(widths), spec.activation, *minibatches.stored)

    @property
    def widest(self) -> int:
        """See `Classifier`."""
        return max(shape[-1] for shape in self.layout.shapes)

    def logits(self, params_CP: Tensor, inputs_SMD: Tensor) -> Tensor:
        """See `Classifier`."""
        return self._forward(params_CP, inputs_SMD)[-1]

    def _forward(self, params_CP: Tensor, inputs_SMD: Tensor) -> list[Tensor]:
        """[C, M, width] of every hidden layer behind its activation, and of the logits."""
        tensors = self.layout.split(params_CP)
        weights, biases = tensors[0::2], tensors[1::2]
        z_CMH = shared_product(inputs_SMD, weights[0]) + biases[0][:, None]
        outputs = []
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            a_CMH = activate(self.activation, z_CMH)
            outputs.append(a_CMH)
            z_CMH = torch.baddbmm(bias[:, None], a_CMH, weight)
        return [*outputs, z_CMH]

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        wants_graph = torch.is_grad_enabled() and params_CP.requires_grad
        if self.passes is not None and self.passes.fits(params_CP) and not wants_graph:
            found = self.passes.perceptron_loss(self.perceptron, self.minibatches.indices(step), params_CP)
            if found is not None:
                return found
        return super().loss(params_CP, step)

    @torch.no_grad()
    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`."""
        if self.passes is not None and self.passes.fits(params_CP):
            found = self.passes.perceptron_gradient(
                self.perceptron, self.minibatches.indices(step), params_CP
            )
            if found is not None:
                return found
        minibatch = self.minibatches.at(step)
        inputs_SMD = minibatch.inputs_SMD
        *hidden, logits_CMO = self._forward(params_CP, inputs_SMD)
        n_cells, n_examples, _ = logits_CMO.shape

        log_p_CMO = torch.log_softmax(logits_CMO, dim=-1)
        targets_CM1 = per_cell(minibatch.targets_SM, n_cells)[..., None]
        loss_C = -log_p_CMO.gather(-1, targets_CM1).mean((1, 2))

        # d loss / d logits = (softmax - onehot) / M
        delta = log_p_CMO.exp_()
        delta.scatter_add_(-1, targets_CM1, delta.new_full((1, 1, 1), -1.0).expand_as(targets_CM1))
        delta /= n_examples

        grad_CP = torch.empty_like(params_CP)
        grads = self.layout.split(grad_CP)
        weights = self.layout.split(params_CP)[0::2]
        for layer in range(len(hidden), 0, -1):
            a_CMH = hidden[layer - 1]
            grads[2 * layer].copy_(a_CMH.mT @ delta)
            torch.sum(delta, 1, out=grads[2 * layer + 1])
            delta = delta @ weights[layer].mT
            delta *= slope(self.activation, a_CMH)
        shared_outer(inputs_SMD, delta, out=grads[0])
        torch.sum(delta, 1, out=grads[1])
        return loss_C, grad_CP


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


def activate(name: Activation, z: Tensor) -> Tensor:
    """The activation function."""
    if name == "sigmoid":
        return torch.sigmoid(z)
    if name == "tanh":
        return torch.tanh(z)
    return torch.relu(z) if name == "relu" else elu(z)


def slope(name: Activation, a: Tensor) -> Tensor:
    """Derivative of the activation function, from its output a."""
    if name == "sigmoid":
        return a * (1 - a)
    if name == "tanh":
        return 1 - a * a
    if name == "relu":
        return (a > 0).to(a.dtype)
    return torch.where(a > 0, 1.0, a + 1)
