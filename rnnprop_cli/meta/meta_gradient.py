"""Estimators of the meta-gradient of one window.

They agree. `known_output_gradient` is fast, for coordinatewise networks; `through_steps` takes any learned optimizer by
its step alone; `plain_autograd` is the obvious one, for tests.

Shape legend: C cells (tasks), P coordinates, N = C P, Q meta-params, T inner steps.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rnnprop_cli.components.learned.base import Architecture, Context
from rnnprop_cli.components.learned.network import LearnedState, NetworkRule
from rnnprop_cli.kernels.network import Hidden, network_step
from rnnprop_cli.meta.meta_loss import meta_loss, step_gradients
from rnnprop_cli.meta.truncation import Span
from rnnprop_cli.meta.unroll import InnerProblem, Trajectory, unroll
from rnnprop_cli.numerics.trees import with_tensors


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
    assert isinstance(rule, NetworkRule), "see `estimator_for`"
    window, trajectory = unroll(problem, meta_params_Q, trajectory, span)
    output_grad_TN = (
        step_gradients(problem.kind, window.grads_SCP, span.length)
        .mul_(rule.signed(problem.alpha))
        .flatten(1)
    )
    meta_grad_Q = problem.kernel.window_gradient(
        rule.network, meta_params_Q, window.features_TFN, window.hidden, output_grad_TN, tape=window.tape
    )
    return WindowResult(meta_grad_Q, window.end_loss_C.mean(), trajectory)


def plain_autograd(
    problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span
) -> WindowResult:
    """Autograd through the whole window, optimizee included; the reference (the kernel is not used)."""
    optimizee, rule, _, kind, alpha, _ = problem
    assert isinstance(rule, NetworkRule), "see `through_steps`"
    leaf = meta_params_Q.detach().clone().requires_grad_()
    params_CP, (accumulators, hidden, steps) = trajectory
    losses = []
    with torch.enable_grad():
        weights = rule.network.weights(leaf)
        for t in range(span.length):
            losses.append(optimizee.loss(params_CP, span.first + t))
            _, grads_CP = optimizee.loss_and_grad(params_CP.detach(), span.first + t)
            features_FN, accumulators = rule.features(grads_CP, accumulators, donate=True)
            output_N, hidden = network_step(rule.network, weights, features_FN, hidden)
            params_CP = params_CP + rule.signed(alpha) * output_N.view_as(params_CP)
        losses_TC = torch.stack(losses)
        (meta_grad_Q,) = torch.autograd.grad(meta_loss(kind, losses_TC), leaf)
    hidden = Hidden(*(part.detach() for part in hidden))
    state = LearnedState(accumulators, hidden, steps + span.length)
    return WindowResult(meta_grad_Q, losses_TC[-1].detach().mean(), Trajectory(params_CP.detach(), state))


def through_steps(
    problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span
) -> WindowResult:
    """Autograd through the steps of the learned optimizer, whatever it is; no graph over the optimizee is built.

    The gradients that enter the steps are detached, as everywhere here. So the derivative of the loss f(theta_s) with
    respect to theta_s is its own gradient, and the meta-gradient is that of sum_s w_s <grad f(theta_s), theta_s>. What
    a step sees of theta flows back as well.
    """
    optimizee, architecture, _, kind, alpha, horizon = problem
    leaf = meta_params_Q.detach().clone().requires_grad_()
    params_CP, state = trajectory
    n_cells = len(params_CP)
    rate_C = params_CP.new_full((n_cells,), alpha)
    losses = []
    total = leaf.new_zeros(())
    with torch.enable_grad():
        meta_params = architecture.named(leaf)
        for t in range(span.length):
            step = span.first + t
            loss_C, grads_CP = optimizee.loss_and_grad(params_CP.detach(), step)
            losses.append(loss_C)
            if kind == "mean" or t == span.length - 1:
                weight = 1 / n_cells if kind == "last" else 1 / (n_cells * span.length)
                total = total + weight * (grads_CP * params_CP).sum()
            context = Context(step + 1, horizon, optimizee.shapes, rate_C, loss_C, optimizee.fan_ins)
            updates_CP, state = architecture.step(meta_params, state, grads_CP, params_CP, context)
            params_CP = params_CP + updates_CP
        meta_grad_Q = torch.zeros_like(leaf)
        if total.requires_grad:
            (meta_grad_Q,) = torch.autograd.grad(total, leaf)
    return WindowResult(meta_grad_Q, losses[-1].mean(), _detached(Trajectory(params_CP, state)))


def _detached(trajectory: Trajectory) -> Trajectory:
    """Cut off from the graph."""
    cut: Trajectory = with_tensors(trajectory, lambda tensor: tensor.detach())
    return cut


def estimator_for(architecture: Architecture) -> Estimator:
    """The fastest estimator that a learned optimizer can have."""
    return known_output_gradient if isinstance(architecture, NetworkRule) else through_steps
