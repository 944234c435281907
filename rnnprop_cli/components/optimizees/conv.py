"""Convolutional networks given by a layout string (section 5.4.1).

Shape legend: S seeds, C cells, K cells per seed, P coordinates, M minibatch, D pixels, O classes.

Cells are groups of one grouped convolution; in the first layer the K cells of a seed share one group, because they
share the images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

from pydantic import Field

from rnnprop_cli.components.datasets import DatasetName, facts_of
from rnnprop_cli.components.optimizees.base import Given, OptimizeeSpec, TensorFacts
from rnnprop_cli.components.optimizees.classification import Classifier
from rnnprop_cli.fields import Init
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.minibatches import ImageMinibatches

FIRST_CHANNELS: Final = 16  # doubled behind every max-pool
FIRST_HIDDEN: Final = 16  # a hidden fully-connected layer is 2^(pools + 4) wide
FILTER: Final = 3  # height and width of a convolution

# c: 3x3 convolution + ReLU, p: 2x2 max-pool, f: fully connected; the last f is the output layer
LAYOUT_PATTERN: Final = r"^c(-[cp])*(-f)+$"


class Layer(NamedTuple):
    """A layer of a CNN on pictures of one size."""

    letter: str
    size: int  # channels of a convolution, features of a fully connected layer, 0 of a max-pool
    tensors: tuple[TensorFacts, ...]
    outputs: int  # numbers that come out of it for one example


class ConvSpec(OptimizeeSpec):
    """Cross-entropy of a convolutional network (section 5.4.1)."""

    kind: Literal["conv"] = "conv"
    dataset: DatasetName = "mnist"
    layout: Annotated[str, Field(pattern=LAYOUT_PATTERN)] = "c-c-p-f"
    init: Init = "paper"

    @property
    def label(self) -> str:
        """See `OptimizeeSpec`."""
        return f"conv {self.layout}" + ("" if self.init == "paper" else " torch-init")

    @property
    def dataset_name(self) -> str | None:
        """See `OptimizeeSpec`."""
        return self.dataset

    @property
    def n_layers(self) -> int | None:
        """See `OptimizeeSpec`."""
        return self.layout.count("c")

    @property
    def nonlinearity(self) -> str | None:
        """See `OptimizeeSpec`."""
        return "relu"

    def walked(self) -> list[Layer]:
        """Its layers on the pictures of its dataset."""
        facts = facts_of(self.dataset)
        return walk(self.layout, facts.shape, facts.outputs)

    def tensors(self) -> list[TensorFacts]:
        """See `OptimizeeSpec`: weight and bias of every layer that has them."""
        return [tensor for layer in self.walked() for tensor in layer.tensors]

    def numbers_per_example(self) -> int:
        """See `OptimizeeSpec`."""
        return 5 * sum(layer.outputs for layer in self.walked())

    def build(self, given: Given) -> Conv:
        """See `OptimizeeSpec`."""
        from rnnprop_cli.components.minibatches import ImageMinibatches

        return Conv(self, ImageMinibatches.of(given))


def walk(layout: str, picture: tuple[int, ...], outputs: int) -> list[Layer]:
    """The layers of a layout on pictures (channels, height, width), the last one with so many outputs."""
    channels, height, width = picture
    letters = layout.split("-")
    layers: list[Layer] = []
    pools = features = 0
    for position, letter in enumerate(letters):
        if letter == "c":
            size = FIRST_CHANNELS << pools
            fan_in = channels * FILTER * FILTER
            weight = TensorFacts((size, channels, FILTER, FILTER), fan_in, uses=height * width)
            layers.append(
                Layer(letter, size, (weight, TensorFacts((size,), fan_in, 0)), size * height * width)
            )
            channels = size
        elif letter == "p":
            height, width, pools = height // 2, width // 2, pools + 1
            layers.append(Layer(letter, 0, (), channels * height * width))
        else:
            last = position == len(letters) - 1
            size = outputs if last else FIRST_HIDDEN << pools
            fan_in = features or channels * height * width
            tensors = TensorFacts((fan_in, size), fan_in), TensorFacts((size,), fan_in, 0)
            layers.append(Layer(letter, size, tensors, size))
            features = size
    return layers


class Conv(Classifier):
    """c: 3x3 convolution, SAME padding, ReLU; p: 2x2 max-pool, stride 2; f: fully connected, ReLU but for the last."""

    def __init__(self, spec: ConvSpec, minibatches: ImageMinibatches) -> None:
        """
        Args:
            spec: the layout.
            minibatches: the data.
        """
        self.letters = spec.layout.split("-")
        channels, height, width = minibatches.shape
        self.image_shape = (channels, height, width)
        outputs = 1 if minibatches.n_classes is None else minibatches.n_classes
        self.walked = walk(spec.layout, minibatches.shape, outputs)
        tensors = [tensor for layer in self.walked for tensor in layer.tensors]
        super().__init__(minibatches, tensors, spec.init)

    @property
    def widest(self) -> int:
        """See `Classifier`."""
        return max(layer.outputs for layer in self.walked if layer.letter == "c")

    def logits(self, params_CP: Tensor, inputs_SMD: Tensor) -> Tensor:
        """See `Classifier`."""
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
                filters, biases = weight.flatten(0, 1), bias.flatten()
                z = torch.nn.functional.conv2d(x, filters, biases, padding="same", groups=groups)
                x = z.relu()
                groups = n_cells
            elif letter == "p":
                x = torch.nn.functional.max_pool2d(x, 2)
            else:
                weight, bias = next(tensors), next(tensors)
                if not flat:  # [M, C channels, height, width] → [C, M, features]
                    x = x.view(n_examples, n_cells, -1).transpose(0, 1)
                    flat = True
                x = x @ weight + bias[:, None]
                if position < len(self.letters) - 1:
                    x = x.relu()
        return x
