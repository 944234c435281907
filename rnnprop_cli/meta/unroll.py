"""A window of inner steps, forward and without a graph.

Shape legend: C cells (tasks), P coordinates, N = C P, F features, T inner steps.
"""

from typing import Any, NamedTuple

from torch import Tensor

from rnnprop_cli.accelerate.learned import advance
from rnnprop_cli.components.learned.base import Architecture
from rnnprop_cli.components.learned.network import NetworkRule
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.network import Hidden
from rnnprop_cli.kernels.tape import Tape
from rnnprop_cli.meta.meta_loss import MetaLoss
from rnnprop_cli.meta.truncation import Span


class InnerProblem(NamedTuple):
    """What a learned optimizer is trained on, and how: all of a window but the meta-params and where it starts."""

    optimizee: Optimizee
    rule: Architecture
    kernel: Kernel
    kind: MetaLoss
    alpha: float  # step bound (RNNprop) or output factor (DMoptimizer)
    horizon: int | None = None  # of the whole trajectory


class Trajectory(NamedTuple):
    """Where an inner trajectory stands between two windows."""

    params_CP: Tensor  # [C, P]
    state: Any  # of the learned optimizer


class Window(NamedTuple):
    """All that the meta-gradient of a window needs."""

    features_TFN: Tensor  # [T, F, N] inputs of the network at every step
    hidden: Hidden  # at the start of the window
    end_loss_C: Tensor  # [C] loss at the last step, taken before its update
    grads_SCP: Tensor  # [S, C, P] gradients of the losses that the meta-loss is made of: all T, or the last
    tape: Tape | None  # what the steps have kept besides, where the kernel wants it


def unroll(
    problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span
) -> tuple[Window, Trajectory]:
    """Runs the steps of `span` and keeps what the backward pass needs.

    The params and the buffers of the state are overwritten.

    Memory: T (F + 1) N numbers, the hidden state at the start and the kernel's tape; nothing grows with the horizon.
    """
    optimizee, rule, kernel, _, alpha, _ = problem
    assert isinstance(rule, NetworkRule), "other learned optimizers go step by step"
    params_CP, state = trajectory
    n_cells = len(params_CP)
    tape = kernel.tape(rule.network, span.length, params_CP)
    if tape is None:
        start = Hidden(state.hidden.h_LHN.clone(), state.hidden.c_LHN.clone())
    else:
        start = Hidden(*(own.copy_(given) for own, given in zip(tape.start, state.hidden, strict=True)))
    asked = span.length if problem.kind == "mean" else 0
    grads_SCP = params_CP.new_empty(asked, *params_CP.shape)
    features_TFN = params_CP.new_empty(span.length, rule.network.features, params_CP.numel())
    rate_C = params_CP.new_full((n_cells,), rule.signed(alpha))
    for t in range(span.length):
        loss_C, grads_CP = optimizee.loss_and_grad(params_CP, span.first + t)
        if asked:
            grads_SCP[t] = grads_CP
        kept = None if tape is None else tape.at(t)
        state = advance(
            rule, kernel, meta_params_Q, rate_C, grads_CP, state, params_CP, features_TFN[t], kept
        )
    grads_SCP = grads_SCP if asked else grads_CP[None]
    return Window(features_TFN, start, loss_C, grads_SCP, tape), Trajectory(params_CP, state)
