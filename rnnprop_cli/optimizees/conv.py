"""Convolutional networks given by a layout string (section 5.4.1).

Shape legend: S seeds, C cells, K cells per seed, P coordinates, M minibatch, D pixels, O classes.

Cells are groups of one grouped convolution; in the first layer the K cells of a seed share one group, because they
share the images.
"""

from math import prod
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from rnnprop_cli.data.minibatches import ImageMinibatches
from rnnprop_cli.kernels.passes import ConvNet, FusedPasses
from rnnprop_cli.numerics.layout import Layout
from rnnprop_cli.optimizees.classification import Classifier
from rnnprop_cli.spec.optimizees import ConvSpec

FIRST_CHANNELS: Final = 16  # doubled behind every max-pool
FIRST_HIDDEN: Final = 16  # a hidden fully-connected layer is 2^(pools + 4) wide


class Conv(Classifier):
    """c: 3x3 convolution, SAME padding, ReLU; p: 2x2 max-pool, stride 2; f: fully connected, ReLU but for the last."""

    def __init__(
        self, spec: ConvSpec, minibatches: ImageMinibatches, passes: FusedPasses | None = None
    ) -> None:
        """
        Args:
            spec: the layout.
            minibatches: the data.
            passes: take the gradient where they can.
        """
        self.passes = passes
        self.letters = spec.layout.split("-")
        self.image_shape = minibatches.image_shape
        _, height, width = self.image_shape
        pools = 0
        self._widest = 0
        layers: list[tuple[str, int]] = []
        for position, letter in enumerate(self.letters):
            if letter == "c":
                layers.append((letter, FIRST_CHANNELS << pools))
                self._widest = max(self._widest, layers[-1][1] * height * width)
            elif letter == "p":
                layers.append((letter, 0))
                height, width, pools = height // 2, width // 2, pools + 1
            else:
                last = position == len(self.letters) - 1
                layers.append((letter, minibatches.n_classes if last else FIRST_HIDDEN << pools))
        self.net = ConvNet(self.image_shape, tuple(layers))
        shapes = self.net.shapes()
        # A bias counts the inputs of its weights, as in torch.nn.
        fan_ins = [prod(s[1:]) if len(s) == 4 else s[0] for s in shapes[::2] for _ in "wb"]
        super().__init__(minibatches, Layout(shapes, fan_ins), spec.init)

    @property
    def widest(self) -> int:
        """See `Classifier`."""
        return self._widest

    def logits(self, params_CP: Tensor, inputs_SMD: Tensor) -> Tensor:
        """See `Classifier`."""
        wants_graph = torch.is_grad_enabled() and params_CP.requires_grad
        if self.passes is not None and self.passes.fits(params_CP) and not wants_graph:
            found = self.passes.conv_logits(self.net, inputs_SMD, params_CP)
            if found is not None:
                return found
        tensors = iter(self.layout.split(params_CP))
        n_seeds, n_examples, _ = inputs_SMD.shape
        n_cells = len(params_CP)
        # Images with the channels of all seeds side by side: [M, S channels, height, width].
        x: Tensor = inputs_SMD.view(n_seeds, n_examples, *self.image_shape).transpose(0, 1).flatten(1, 2)
        groups = n_seeds
        flat = False
        for position, letter in enumerate(self.letters):
            if letter == "c":
                weight, bias = next(tensors), next(tensors)
                x = conv2d(x, weight.flatten(0, 1), bias.flatten(), padding="same", groups=groups).relu()
                groups = n_cells
            elif letter == "p":
                x = max_pool2d(x, 2)
            else:
                weight, bias = next(tensors), next(tensors)
                if not flat:  # [M, C channels, height, width] → [C, M, features]
                    x = x.view(n_examples, n_cells, -1).transpose(0, 1)
                    flat = True
                x = x @ weight + bias[:, None]
                if position < len(self.letters) - 1:
                    x = x.relu()
        return x

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`."""
        if self.passes is not None and self.passes.fits(params_CP):
            minibatch = self.minibatches.at(step)
            found = self.passes.conv_gradient(self.net, minibatch.inputs_SMD, minibatch.targets_SM, params_CP)
            if found is not None:
                return found
        return super().loss_and_grad(params_CP, step)
