"""Two estimators of the meta-gradient of one window. They agree; the first is fast, the second obvious.

Shape legend: C cells (tasks), P coordinates, N = C P, Q meta-params, T inner steps.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rnnprop_cli.kernels.network import Hidden
from rnnprop_cli.kernels.reference import network_step
from rnnprop_cli.meta.meta_loss import meta_loss, step_gradients
from rnnprop_cli.meta.truncation import Span
from rnnprop_cli.meta.unroll import InnerProblem, Trajectory, unroll
from rnnprop_cli.optimizers.learned import LearnedState


class WindowResult(NamedTuple):
    """What one window gives."""

    meta_grad_Q: Tensor  # [Q]
    end_loss: Tensor  # [] loss at the end of the window, mean over the cells
    trajectory: Trajectory  # where the next window starts, detached


class Estimator(Protocol):
    """A way to estimate the meta-gradient."""

    def __call__(
        self, problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span
    ) -> WindowResult:
        """Runs one window. The buffers of `trajectory` may be overwritten."""
        ...


def known_output_gradient(
    problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span
) -> WindowResult:
    """Forward without a graph, then the kernel's backward pass with the output gradient that is already known."""
    rule = problem.rule
    window, trajectory = unroll(problem, meta_params_Q, trajectory, span)
    output_grad_TN = step_gradients(problem.kind, window.grads_TCP).mul_(rule.sign * problem.alpha).flatten(1)
    meta_grad_Q = problem.kernel.window_gradient(
        rule.network, meta_params_Q, window.features_TFN, window.hidden, output_grad_TN
    )
    return WindowResult(meta_grad_Q, window.losses_TC[-1].mean(), trajectory)


def plain_autograd(
    problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span
) -> WindowResult:
    """Autograd through the whole window, optimizee included; the reference (the kernel is not used)."""
    optimizee, rule, _, kind, alpha = problem
    leaf = meta_params_Q.detach().clone().requires_grad_()
    params_CP, (accumulators, hidden) = trajectory
    losses = []
    with torch.enable_grad():
        weights = rule.network.weights(leaf)
        for t in range(span.length):
            losses.append(optimizee.loss(params_CP, span.first + t))
            _, grads_CP = optimizee.loss_and_grad(params_CP.detach(), span.first + t)
            features_FN, accumulators = rule.features(grads_CP, accumulators, donate=True)
            output_N, hidden = network_step(rule.network, weights, features_FN, hidden)
            params_CP = params_CP + rule.sign * alpha * output_N.view_as(params_CP)
        losses_TC = torch.stack(losses)
        (meta_grad_Q,) = torch.autograd.grad(meta_loss(kind, losses_TC), leaf)
    state = LearnedState(accumulators, Hidden(*(part.detach() for part in hidden)))
    return WindowResult(meta_grad_Q, losses_TC[-1].detach().mean(), Trajectory(params_CP.detach(), state))
