"""One meta-iteration: a fresh optimizee, a trajectory, one update of the meta-params per window.

Shape legend: Q meta-params.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.components.learned.base import Architecture
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizers.adam import Adam
from rnnprop_cli.components.optimizers.base import Baseline, RuleState
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.meta.draws import Draw
from rnnprop_cli.meta.meta_gradient import Estimator, known_output_gradient
from rnnprop_cli.meta.truncation import spans
from rnnprop_cli.meta.unroll import InnerProblem, Trajectory
from rnnprop_cli.spec.train import MetaOptimizerSpec, TrainSpec


class MetaState(NamedTuple):
    """Everything that meta-training carries from one meta-iteration to the next."""

    meta_params_Q: Tensor  # [Q]
    optimizer: RuleState  # Adam's, with [1, Q] slots


def build_meta_optimizer(spec: MetaOptimizerSpec, meta_params_Q: Tensor) -> Baseline:
    """Adam on the meta-params."""
    lr_C = torch.full((1,), spec.lr, dtype=meta_params_Q.dtype, device=meta_params_Q.device)
    return Baseline(Adam(spec.beta1, spec.beta2, spec.eps), lr_C)


def meta_iteration(
    spec: TrainSpec,
    state: MetaState,
    optimizee: Optimizee,
    rule: Architecture,
    kernel: Kernel,
    drawn: Draw,
    estimator: Estimator = known_output_gradient,
) -> tuple[MetaState, Tensor]:
    """Trains on one trajectory.

    Args:
        spec: the recipe.
        state: before the meta-iteration.
        optimizee: drawn for this meta-iteration, one cell per task of the meta-batch.
        rule: the learned optimizer.
        kernel: computes its network.
        drawn: how long the trajectory is, and how it is cut.
        estimator: how the meta-gradient of a window is estimated.

    Returns:
        The state after it, and the train loss []: the optimizee's loss (f + g) averaged over the window ends.
    """
    meta_optimizer = build_meta_optimizer(spec.meta_optimizer, state.meta_params_Q)
    meta_params_Q, optimizer_state = state
    problem = InnerProblem(optimizee, rule, kernel, spec.meta_loss, spec.optimizer.alpha, drawn.horizon)
    params_CP = optimizee.init_params()
    trajectory = Trajectory(params_CP, rule.init(params_CP, optimizee.shapes))
    end_losses = []
    for span in spans(drawn.horizon, drawn.unroll):
        result = estimator(problem, meta_params_Q, trajectory, span)
        trajectory = result.trajectory
        end_losses.append(result.end_loss)
        grad_1Q = clip(result.meta_grad_Q, spec.meta_optimizer.clip_norm)[None]
        update_1Q, optimizer_state = meta_optimizer.update(grad_1Q, optimizer_state, meta_params_Q[None])
        meta_params_Q = meta_params_Q + update_1Q[0]
    return MetaState(meta_params_Q, optimizer_state), torch.stack(end_losses).mean()


def clip(grad_Q: Tensor, max_norm: float | None) -> Tensor:
    """The gradient, scaled down to `max_norm` if it is longer."""
    if max_norm is None:
        return grad_Q
    norm = torch.linalg.vector_norm(grad_Q)
    return grad_Q * torch.clamp(max_norm / norm, max=1.0)
