"""How large a cell is: coordinates and memory, by arithmetic alone."""

from itertools import pairwise
from typing import Final

from rnnprop_cli.spec.optimizees import ConvSpec, LSTMSpec, MLPSpec, OptimizeeSpec
from rnnprop_cli.spec.optimizers import LearnedSpec, OptimizerSpec

# channels, height, width of the datasets' images; all have ten classes
IMAGE_SHAPES: Final = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
CLASSES: Final = 10
# images for training, for testing
IMAGE_COUNTS: Final = {"digits": (1_438, 359), "mnist": (55_000, 10_000), "cifar10": (50_000, 10_000)}

# Numbers held per coordinate: params, gradient, update, accumulators and temporaries ...
NUMBERS_PER_COORDINATE_CLASSICAL: Final = 10
# ... and for a learned optimizer of the usual size two states of 2 x 2 x 20, and the gates of one layer.
NUMBERS_PER_COORDINATE_LEARNED: Final = 420


def mlp_widths(spec: MLPSpec) -> list[int]:
    """Inputs, hidden layers, classes."""
    channels, height, width = IMAGE_SHAPES[spec.dataset]
    return [channels * height * width, *[spec.hidden] * spec.depth, CLASSES]


def conv_sizes(spec: ConvSpec) -> tuple[int, int]:
    """Coordinates, and activations per example, of a CNN."""
    channels, height, width = IMAGE_SHAPES[spec.dataset]
    letters = spec.layout.split("-")
    coordinates = activations = pools = features = 0
    for position, letter in enumerate(letters):
        if letter == "c":
            filters = 16 << pools
            coordinates += filters * channels * 9 + filters
            channels = filters
            activations += channels * height * width
        elif letter == "p":
            height, width, pools = height // 2, width // 2, pools + 1
            activations += channels * height * width
        else:
            fan_in = features or channels * height * width
            features = CLASSES if position == len(letters) - 1 else 16 << pools
            coordinates += fan_in * features + features
            activations += features
    return coordinates, activations


def n_coordinates(spec: OptimizeeSpec) -> int:
    """P: parameters of the optimizee."""
    if isinstance(spec, MLPSpec):
        widths = mlp_widths(spec)
        return sum((a + 1) * b for a, b in pairwise(widths))
    if isinstance(spec, ConvSpec):
        return conv_sizes(spec)[0]
    if isinstance(spec, LSTMSpec):
        first, later = 1 + spec.hidden, 2 * spec.hidden
        gates = 4 * spec.hidden
        return gates * (first + 1 + (spec.layers - 1) * (later + 1)) + spec.hidden + 1
    return spec.dimension


def activations_per_example(spec: OptimizeeSpec) -> int:
    """Numbers that the forward and backward pass of one example hold."""
    if isinstance(spec, MLPSpec):
        return 4 * sum(mlp_widths(spec)[1:])
    if isinstance(spec, ConvSpec):
        return 5 * conv_sizes(spec)[1]
    if isinstance(spec, LSTMSpec):
        return spec.length * spec.layers * spec.hidden * 24
    return spec.dimension


def bytes_per_cell(optimizee: OptimizeeSpec, optimizer: OptimizerSpec, minibatch: int, dtype: str) -> int:
    """An estimate, on the high side, of the memory that one cell adds to its batch."""
    learned = isinstance(optimizer, LearnedSpec)
    per_coordinate = NUMBERS_PER_COORDINATE_LEARNED if learned else NUMBERS_PER_COORDINATE_CLASSICAL
    numbers = n_coordinates(optimizee) * per_coordinate + minibatch * activations_per_example(optimizee)
    return numbers * (8 if dtype == "float64" else 4)
