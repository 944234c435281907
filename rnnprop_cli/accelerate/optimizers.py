"""From settings to an optimizer that runs as fast as it can here: the one place where that is chosen."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnnprop_cli.accelerate.baselines import FusedBaseline
from rnnprop_cli.accelerate.learned import NetworkOptimizer
from rnnprop_cli.accelerate.tabled import with_table
from rnnprop_cli.components.learned.base import Architecture, SteppedOptimizer
from rnnprop_cli.components.learned.network import NetworkRule
from rnnprop_cli.components.optimizers.base import Baseline, BaselineSpec, Given, Optimizer
from rnnprop_cli.kernels.base import Kernel


def build_baseline(spec: BaselineSpec, given: Given, kernel: Kernel) -> Optimizer[Any]:
    """A classical optimizer with one learning rate per cell and its schedule over the horizon."""
    plain = spec.build(given)
    if kernel.passes is not None and isinstance(plain, Baseline):
        plain = FusedBaseline(plain, kernel.passes)
    return _on_device(plain, kernel, given.lr_C.device)


def build_learned(
    architecture: Architecture,
    meta_params_Q: Tensor,
    given: Given,
    kernel: Kernel,
    factor: Callable[[int], float] | None = None,
) -> Optimizer[Any]:
    """A learned optimizer with given meta-params and one alpha per cell.

    Args:
        architecture: what it is, but for its meta-params.
        meta_params_Q: [Q] the meta-params.
        given: alphas, horizon and shapes.
        kernel: computes its network, where it is one.
        factor: schedule, from the steps done to a factor of alpha; None: none.
    """
    if not isinstance(architecture, NetworkRule):
        return SteppedOptimizer(architecture, meta_params_Q, given.lr_C, given.shapes, given.horizon, factor)
    network = NetworkOptimizer(architecture, meta_params_Q, given.lr_C, kernel, factor)
    return _on_device(network, kernel, given.lr_C.device)


def _on_device(optimizer: Optimizer[Any], kernel: Kernel, device: torch.device) -> Optimizer[Any]:
    return with_table(optimizer, kernel) if device.type == "cuda" else optimizer
