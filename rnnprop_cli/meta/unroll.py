"""A window of inner steps, forward and without a graph.

Shape legend: C cells (tasks), P coordinates, N = C P, F features, T inner steps.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.kernels.base import Hidden, Kernel
from rnnprop_cli.meta.truncation import Span
from rnnprop_cli.optimizees.base import Optimizee
from rnnprop_cli.optimizers.learned import LearnedRule, LearnedState


class Trajectory(NamedTuple):
    """Where an inner trajectory stands between two windows."""

    params_CP: Tensor  # [C, P]
    state: LearnedState


class Window(NamedTuple):
    """All that the meta-gradient of a window needs."""

    features_TFN: Tensor  # [T, F, N] inputs of the network at every step
    hidden: Hidden  # at the start of the window
    losses_TC: Tensor  # [T, C] loss[t], taken before update t
    grads_TCP: Tensor  # [T, C, P] gradients of these losses


def unroll(
    optimizee: Optimizee,
    rule: LearnedRule,
    kernel: Kernel,
    meta_params_Q: Tensor,
    alpha: float,
    trajectory: Trajectory,
    span: Span,
) -> tuple[Window, Trajectory]:
    """Runs the steps of `span` and keeps what the backward pass needs.

    Memory: T (F + 1) N numbers and the hidden state at the start; nothing grows with the horizon.
    """
    params_CP, state = trajectory
    start = Hidden(state.hidden.h_LHN.clone(), state.hidden.c_LHN.clone())
    features, losses = [], []
    grads_TCP = params_CP.new_empty(span.length, *params_CP.shape)
    for t in range(span.length):
        loss_C, grads_CP = optimizee.loss_and_grad(params_CP, span.first + t)
        losses.append(loss_C)
        grads_TCP[t] = grads_CP
        features_FN, accumulators = rule.features(grads_CP, state.features, donate=True)
        features.append(features_FN)
        output_N, hidden = kernel.step(rule.network, meta_params_Q, features_FN, state.hidden, donate=True)
        state = LearnedState(accumulators, hidden)
        params_CP = torch.add(params_CP, output_N.view_as(params_CP), alpha=rule.sign * alpha)
    window = Window(torch.stack(features), start, torch.stack(losses), grads_TCP)
    return window, Trajectory(params_CP, state)
