"""From settings to an optimizer that runs as fast as it can here: the one place where that is chosen."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnnprop_cli.accelerate.baselines import FusedBaseline
from rnnprop_cli.accelerate.laws import LawfulNumbers, LawfulOptimizer
from rnnprop_cli.accelerate.learned import NetworkOptimizer
from rnnprop_cli.accelerate.mixtures import MixedOptimizer, compiled_mixture
from rnnprop_cli.accelerate.population import PopulationOptimizer
from rnnprop_cli.accelerate.tabled import with_table
from rnnprop_cli.components.learned.base import Architecture, SteppedOptimizer
from rnnprop_cli.components.learned.law import AdamBase, LawRule
from rnnprop_cli.components.learned.mixture import MixtureRule
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
    if (mixed := _mixed(architecture, meta_params_Q[None], given, kernel, factor)) is not None:
        return mixed
    if isinstance(architecture, LawRule) and not architecture.base.reads_params:
        return _build_lawful(architecture, meta_params_Q[None], given, kernel, factor)
    if not isinstance(architecture, NetworkRule):
        shapes, horizon = given.shapes, given.horizon
        return SteppedOptimizer(
            architecture, meta_params_Q, given.lr_C, shapes, horizon, factor, given.fan_ins
        )
    network = NetworkOptimizer(architecture, meta_params_Q, given.lr_C, kernel, factor)
    return _on_device(network, kernel, given.lr_C.device)


def build_population(
    architecture: Architecture, meta_params_CQ: Tensor, given: Given, kernel: Kernel
) -> Optimizer[Any]:
    """A learned optimizer with meta-params of its own for every cell.

    Args:
        architecture: what it is, but for its meta-params.
        meta_params_CQ: [C, Q] those of each cell.
        given: alphas, horizon and shapes.
        kernel: computes its network, where it is one that all cells have in common.
    """
    if (mixed := _mixed(architecture, meta_params_CQ, given, kernel, None)) is not None:
        return mixed
    if isinstance(architecture, LawRule) and not architecture.base.reads_params:
        inner_CQ = architecture.parts(meta_params_CQ).inner_CQ
        if bool((inner_CQ == inner_CQ[:1]).all()):
            return _build_lawful(architecture, meta_params_CQ, given, kernel, None)
    return PopulationOptimizer(architecture, meta_params_CQ, given)


def _mixed(
    architecture: Architecture,
    meta_params_CQ: Tensor,
    given: Given,
    kernel: Kernel,
    factor: Callable[[int], float] | None,
) -> Optimizer[Any] | None:
    """A mixture, under a law or not, where the compiled kernel takes its steps; None for anything else."""
    base = architecture.base if isinstance(architecture, LawRule) else architecture
    if not isinstance(architecture, LawRule | MixtureRule) or not isinstance(base, MixtureRule):
        return None
    library = compiled_mixture(kernel, given.lr_C)
    return None if library is None else MixedOptimizer(architecture, meta_params_CQ, given, library, factor)


def _build_lawful(
    rule: LawRule,
    meta_params_CQ: Tensor,
    given: Given,
    kernel: Kernel,
    factor: Callable[[int], float] | None,
) -> Optimizer[Any]:
    """Laws, one or one for each cell, over one direction."""
    parts = rule.parts(meta_params_CQ)
    unit = given._replace(lr_C=torch.ones_like(given.lr_C))
    base: Optimizer[Any]
    if isinstance(rule.base, AdamBase):
        base = Baseline(rule.base.rule, unit.lr_C)
        base = base if kernel.passes is None else FusedBaseline(base, kernel.passes)
    else:
        base = build_learned(rule.base, parts.inner_CQ[0], unit, kernel)
    return LawfulOptimizer(base, LawfulNumbers(parts, given, factor))


def _on_device(optimizer: Optimizer[Any], kernel: Kernel, device: torch.device) -> Optimizer[Any]:
    return with_table(optimizer, kernel) if device.type == "cuda" else optimizer
