"""Convolutional networks given by a layout string (section 5.4.1), with normalisation and residual connections.

Shape legend: S seeds, C cells, K cells per seed, P coordinates, M minibatch, D pixels, O classes.

Cells are groups of one grouped convolution; in the first layer the K cells of a seed share one group, because they
share the images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, NamedTuple

from pydantic import Field

from rnnprop_cli.components.activations import Activation, activate
from rnnprop_cli.components.datasets import DatasetName, facts_of
from rnnprop_cli.components.datasets.base import IS_TEXT
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
GROUPS: Final = 4  # of channels, where examples are normalised one by one
VARIANCE_FLOOR: Final = 1e-5  # added to what is divided by, as in torch.nn

Norm = Literal["none", "batch", "group"]

# c: 3x3 convolution + activation, p: 2x2 max-pool, f: fully connected; the last f is the output layer
LAYOUT_PATTERN: Final = r"^c(-[cp])*(-f)+$"


class Layer(NamedTuple):
    """A layer of a CNN on pictures of one size."""

    letter: str
    size: int  # channels of a convolution, features of a fully connected layer, 0 of a max-pool
    tensors: tuple[TensorFacts, ...]
    outputs: int  # numbers that come out of it for one example
    residual: bool = False  # whether its input is added to its output


class ConvSpec(OptimizeeSpec):
    """Cross-entropy of a convolutional network (section 5.4.1)."""

    later: ClassVar[frozenset[str]] = frozenset({"activation", "norm", "residual"})

    kind: Literal["conv"] = "conv"
    dataset: DatasetName = "mnist"
    layout: Annotated[str, Field(pattern=LAYOUT_PATTERN)] = "c-c-p-f"
    activation: Activation = "relu"
    # of a convolution's output, by mean and variance
    # - batch: of a channel over the minibatch, which is the one at hand in evaluation too,
    # - group: of a quarter of the channels of an example.
    norm: Norm = "none"
    residual: bool = False  # a convolution's input is added to its output, where both have as many channels
    init: Init = "paper"

    @property
    def label(self) -> str:
        """See `OptimizeeSpec`."""
        parts = [f"conv {self.layout}"]
        parts += [] if self.norm == "none" else [f"{self.norm}-norm"]
        parts += ["residual"] if self.residual else []
        parts += [] if self.init == "paper" else ["torch-init"]
        return " ".join(parts)

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
        return self.activation

    def misfit(self) -> tuple[str, str] | None:
        """See `OptimizeeSpec`."""
        shape = facts_of(self.dataset).shape
        if facts_of(self.dataset).text:
            return "dataset", IS_TEXT
        if len(shape) not in (2, 3):
            return "dataset", f"has inputs of shape {shape}: pictures are [channels, height, width]"
        smallest = min(shape[-2:]) >> self.layout.count("p")
        if not smallest:
            return (
                "layout",
                f"halves pictures of {shape[-2]} x {shape[-1]} until nothing is left: take fewer p",
            )
        return None

    def walked(self) -> list[Layer]:
        """Its layers on the pictures of its dataset."""
        facts = facts_of(self.dataset)
        return self.layers_on(facts.shape, facts.outputs)

    def layers_on(self, shape: tuple[int, ...], outputs: int) -> list[Layer]:
        """Its layers on pictures of a shape."""
        return walk(self.layout, picture_of(shape), outputs, norm=self.norm, residual=self.residual)

    def tensors(self) -> list[TensorFacts]:
        """See `OptimizeeSpec`: weight and bias of every layer that has them."""
        return [tensor for layer in self.walked() for tensor in layer.tensors]

    def numbers_per_example(self) -> int:
        """See `OptimizeeSpec`."""
        per_output = 5 if self.norm == "none" else 8
        return per_output * sum(layer.outputs for layer in self.walked())

    def build(self, given: Given) -> Conv:
        """See `OptimizeeSpec`."""
        from rnnprop_cli.components.minibatches import ImageMinibatches

        return Conv(self, ImageMinibatches.of(given))


def picture_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of pictures, which may lack the channel."""
    *channels, height, width = shape
    return channels[0] if channels else 1, height, width


def walk(
    layout: str, picture: tuple[int, int, int], outputs: int, *, norm: Norm = "none", residual: bool = False
) -> list[Layer]:
    """The layers of a layout on pictures (channels, height, width), the last one with so many outputs."""
    channels, height, width = picture
    letters = layout.split("-")
    layers: list[Layer] = []
    pools = features = 0
    for position, letter in enumerate(letters):
        if letter == "c":
            size = FIRST_CHANNELS << pools
            fan_in = channels * FILTER * FILTER
            tensors: tuple[TensorFacts, ...] = (
                TensorFacts((size, channels, FILTER, FILTER), fan_in, uses=height * width),
                TensorFacts((size,), fan_in, 0),
            )
            if norm != "none":  # gain, counted from 1, and shift
                tensors += TensorFacts((size,), 0, uses=height * width), TensorFacts((size,), 0, 0)
            added = residual and bool(layers) and channels == size
            layers.append(Layer(letter, size, tensors, size * height * width, added))
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
    """c: x → activation(norm(convolution of x) [+ x]), 3x3, SAME padding; p: 2x2 max-pool, stride 2; f: fully
    connected, activation but for the last."""

    def __init__(self, spec: ConvSpec, minibatches: ImageMinibatches) -> None:
        """
        Args:
            spec: the layout.
            minibatches: the data.
        """
        self.activation: Activation = spec.activation
        self.norm: Norm = spec.norm
        self.image_shape = picture_of(minibatches.shape)
        outputs = 1 if minibatches.n_classes is None else minibatches.n_classes
        self.walked = spec.layers_on(minibatches.shape, outputs)
        tensors = [tensor for layer in self.walked for tensor in layer.tensors]
        super().__init__(minibatches, tensors, spec.init)

    @property
    def widest(self) -> int:
        """See `Classifier`."""
        return max(layer.outputs for layer in self.walked if layer.letter == "c")

    @property
    def examples_meet(self) -> bool:
        """See `Classifier`."""
        return self.norm == "batch"

    def logits(self, params_CP: Tensor, inputs_SMD: Tensor) -> Tensor:
        """See `Classifier`."""
        tensors = iter(self.layout.split(params_CP))
        n_seeds, n_examples, _ = inputs_SMD.shape
        n_cells = len(params_CP)
        # Images with the channels of all seeds side by side: [M, S channels, height, width].
        x: Tensor = inputs_SMD.view(n_seeds, n_examples, *self.image_shape).transpose(0, 1).flatten(1, 2)
        groups = n_seeds
        flat = False
        for layer in self.walked:
            if layer.letter == "c":
                weight, bias = next(tensors), next(tensors)
                filters, biases = weight.flatten(0, 1), bias.flatten()
                z = torch.nn.functional.conv2d(x, filters, biases, padding="same", groups=groups)
                if self.norm != "none":
                    z = self._normalised(z, next(tensors), next(tensors))
                x = activate(self.activation, z + x if layer.residual else z)
                groups = n_cells
            elif layer.letter == "p":
                x = torch.nn.functional.max_pool2d(x, 2)
            else:
                weight, bias = next(tensors), next(tensors)
                if not flat:  # [M, C channels, height, width] → [C, M, features]
                    x = x.view(n_examples, n_cells, -1).transpose(0, 1)
                    flat = True
                x = x @ weight + bias[:, None]
                if layer is not self.walked[-1]:
                    x = activate(self.activation, x)
        return x

    def _normalised(self, z: Tensor, gain_CF: Tensor, shift_CF: Tensor) -> Tensor:
        """Every channel [M, C F, height, width] with mean 0 and variance 1, times 1 + gain, plus shift."""
        gain, shift = 1 + gain_CF.flatten(), shift_CF.flatten()
        if self.norm == "group":
            n_cells = len(gain_CF)
            return torch.nn.functional.group_norm(z, GROUPS * n_cells, gain, shift, VARIANCE_FLOOR)
        # not torch.nn.functional's, which refuses a channel with one number
        return torch.batch_norm(
            z, gain, shift, None, None, True, 0.0, VARIANCE_FLOOR, torch.backends.cudnn.enabled
        )
