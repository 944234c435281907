"""How much work a batch of cells is: arithmetic from the spec alone, for estimates before anything runs."""

import itertools
from typing import Final

from rnnprop_cli.plan.cells import CellBatch
from rnnprop_cli.plan.size import IMAGE_COUNTS, IMAGE_SHAPES, mlp_widths, n_coordinates
from rnnprop_cli.spec.optimizees import ConvSpec, LSTMSpec, MLPSpec, OptimizeeSpec, dataset_of
from rnnprop_cli.spec.optimizers import LearnedSpec

# Floating-point operations of the coordinatewise network per coordinate and step (two LSTM layers of 20).
LEARNED_FLOPS: Final = 13_000
# What a classical rule costs per coordinate and step: it waits for memory, so this many operations' worth of time.
CLASSICAL_FLOPS: Final = 400
# Products of a gradient: one forward, two backward.
GRADIENT_PRODUCTS: Final = 3


def multiplications(spec: OptimizeeSpec) -> int:
    """Multiply-adds of the forward pass of one example."""
    if isinstance(spec, MLPSpec):
        widths = mlp_widths(spec)
        return sum(a * b for a, b in itertools.pairwise(widths))
    if isinstance(spec, LSTMSpec):
        return spec.length * n_coordinates(spec)
    if isinstance(spec, ConvSpec):
        return _conv_multiplications(spec)
    return spec.dimension


def gradient_flops(spec: OptimizeeSpec, minibatch: int) -> float:
    """Operations of the loss and gradient of one cell on one minibatch."""
    return 2.0 * GRADIENT_PRODUCTS * minibatch * multiplications(spec)


def optimizer_flops(batch: CellBatch) -> float:
    """Operations' worth of time of all updates of a batch."""
    rule = LEARNED_FLOPS if isinstance(batch.optimizer, LearnedSpec) else CLASSICAL_FLOPS
    return float(len(batch) * batch.problem.horizon * rule * n_coordinates(batch.problem.optimizee))


def evaluations(batch: CellBatch) -> float:
    """Minibatches of losses that a cell of the batch computes besides its steps: final loss and held-out data."""
    problem = batch.problem
    dataset = dataset_of(problem.optimizee)
    if dataset is None:
        return problem.horizon
    train, test = IMAGE_COUNTS[dataset]
    final = min(problem.horizon, train / problem.minibatch)  # long trajectories: one pass over the dataset
    return final if batch.phase == "tuning" else final + test / problem.minibatch


def _conv_multiplications(spec: ConvSpec) -> int:
    channels, height, width = IMAGE_SHAPES[spec.dataset]
    letters = spec.layout.split("-")
    total = pools = features = 0
    for position, letter in enumerate(letters):
        if letter == "c":
            filters = 16 << pools
            total += 9 * channels * filters * height * width
            channels = filters
        elif letter == "p":
            height, width, pools = height // 2, width // 2, pools + 1
        else:
            fan_in = features or channels * height * width
            features = 10 if position == len(letters) - 1 else 16 << pools
            total += fan_in * features
    return total
