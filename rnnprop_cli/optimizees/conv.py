"""Convolutional networks given by a layout string (section 5.4.1).

Shape legend: S seeds, C cells, K cells per seed, P coordinates, M minibatch, D pixels, O classes.

Cells are groups of one grouped convolution; in the first layer the K cells of a seed share one group, because they
share the images.
"""

from typing import Final

from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from rnnprop_cli.data.minibatches import ImageMinibatches
from rnnprop_cli.numerics.layout import Layout
from rnnprop_cli.optimizees.classification import Classifier
from rnnprop_cli.spec.optimizees import ConvSpec

FILTER: Final = 3
FIRST_CHANNELS: Final = 16  # doubled behind every max-pool
FIRST_HIDDEN: Final = 16  # a hidden fully-connected layer is 2^(pools + 4) wide


class Conv(Classifier):
    """c: 3x3 convolution, SAME padding, ReLU; p: 2x2 max-pool, stride 2; f: fully connected, ReLU but for the last."""

    def __init__(self, spec: ConvSpec, minibatches: ImageMinibatches) -> None:
        self.letters = spec.layout.split("-")
        self.image_shape = minibatches.image_shape
        channels, height, width = self.image_shape
        pools = 0
        self._widest = 0
        features = 0
        shapes: list[tuple[int, ...]] = []
        fan_ins: list[int] = []
        for position, letter in enumerate(self.letters):
            if letter == "c":
                filters = FIRST_CHANNELS << pools
                shapes += [(filters, channels, FILTER, FILTER), (filters,)]
                fan_ins += [channels * FILTER * FILTER] * 2
                channels = filters
                self._widest = max(self._widest, channels * height * width)
            elif letter == "p":
                height, width, pools = height // 2, width // 2, pools + 1
            else:
                fan_in = features or channels * height * width
                last = position == len(self.letters) - 1
                features = minibatches.n_classes if last else FIRST_HIDDEN << pools
                shapes += [(fan_in, features), (features,)]
                fan_ins += [fan_in, fan_in]
        super().__init__(minibatches, Layout(shapes, fan_ins), spec.init)

    @property
    def widest(self) -> int:
        """See `Classifier`."""
        return self._widest

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
