"""How much work a batch of cells is: arithmetic from the spec alone, for estimates before anything runs."""

import itertools
from typing import Final

from rnnprop_cli.plan.cells import CellBatch
from rnnprop_cli.plan.size import IMAGE_SHAPES, mlp_widths, n_coordinates
from rnnprop_cli.spec.optimizees import ConvSpec, LSTMSpec, MLPSpec, OptimizeeSpec
from rnnprop_cli.spec.optimizers import LearnedSpec

# Floating-point operations of the coordinatewise network per coordinate and step (two LSTM layers of 20).
LEARNED_FLOPS: Final = 13_000
# What a classical rule costs per coordinate and step: it waits for memory, so this many operations' worth of time.
CLASSICAL_FLOPS: Final = 400
# Forward and backward pass are three products; the final loss is one more forward pass.
PRODUCTS: Final = 4
# Share of the rate of a large matrix product that each kind of optimizee reaches, measured on two CPU cores.
EFFICIENCY: Final = {"mlp": 0.5, "conv": 0.12, "lstm": 0.12, "quadratic": 0.01}


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


def batch_flops(batch: CellBatch) -> tuple[float, float]:
    """Operations of a whole batch: of the optimizee, scaled by its efficiency, and of the optimizer."""
    problem = batch.problem
    per_step = 2 * PRODUCTS * problem.minibatch * multiplications(problem.optimizee)
    rule = LEARNED_FLOPS if isinstance(batch.optimizer, LearnedSpec) else CLASSICAL_FLOPS
    steps = len(batch) * problem.horizon
    optimizee = steps * per_step / EFFICIENCY[problem.optimizee.kind]
    return optimizee, float(steps * rule * n_coordinates(problem.optimizee))


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
