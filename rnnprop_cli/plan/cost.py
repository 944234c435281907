"""How much work a batch of cells is: arithmetic from the spec alone, for estimates before anything runs."""

from typing import Final

from rnnprop_cli.components.datasets import facts_of
from rnnprop_cli.components.learned.base import ArchitectureSpec
from rnnprop_cli.components.learned.law import AdamBase, LawRule
from rnnprop_cli.components.learned.mixture import MixtureRule
from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.plan.cells import CellBatch

# Floating-point operations of the coordinatewise network per coordinate and step (two LSTM layers of 20).
LEARNED_FLOPS: Final = 13_000
# What a classical rule costs per coordinate and step: it waits for memory, so this many operations' worth of time.
CLASSICAL_FLOPS: Final = 400
# Products of a gradient: one forward, two backward.
GRADIENT_PRODUCTS: Final = 3


def gradient_flops(spec: OptimizeeSpec, minibatch: int) -> float:
    """Operations of the loss and gradient of one cell on one minibatch."""
    return 2.0 * GRADIENT_PRODUCTS * minibatch * spec.multiplications


def architecture_flops(spec: ArchitectureSpec) -> int:
    """Operations' worth of time of a learned optimizer per coordinate and step: a law or a mixture waits for memory."""
    rule = spec.build()
    direction = rule.base if isinstance(rule, LawRule) else rule
    return CLASSICAL_FLOPS if isinstance(direction, AdamBase | MixtureRule) else LEARNED_FLOPS


def optimizer_flops(batch: CellBatch, architecture: ArchitectureSpec | None = None) -> float:
    """Operations' worth of time of all updates of a batch.

    Args:
        batch: the cells.
        architecture: of its weights, where they are learned and known.
    """
    rule = LEARNED_FLOPS if batch.optimizer.learned else CLASSICAL_FLOPS
    rule = rule if architecture is None else architecture_flops(architecture)
    return float(len(batch) * batch.problem.horizon * rule * batch.problem.optimizee.n_coordinates)


def evaluations(batch: CellBatch) -> float:
    """Minibatches of losses that a cell of the batch computes besides its steps: final loss and held-out data."""
    problem = batch.problem
    dataset = problem.optimizee.dataset_name
    if dataset is None:
        return problem.horizon
    facts = facts_of(dataset)
    final = min(
        problem.horizon, facts.train / problem.minibatch
    )  # long trajectories: one pass over the dataset
    return final if batch.phase == "tuning" else final + facts.test / problem.minibatch
