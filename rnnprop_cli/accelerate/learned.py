"""Learned optimizers whose network a kernel computes, RNNprop's whole step in one pass over memory where it can.

Shape legend: C cells, P coordinates, N = C P, F features, Q meta-params.
"""

from collections.abc import Callable

from torch import Tensor

from rnnprop_cli.components.learned.network import LearnedState, NetworkRule
from rnnprop_cli.components.learned.rnnprop import Moments, RNNpropRule
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.passes import FusedPasses, RelativeInputs, TensorSteps
from rnnprop_cli.kernels.tape import Kept


class NetworkOptimizer:
    """A learned optimizer with given meta-params, for use (no graph).

    Args:
        rule: features and architecture.
        meta_params_Q: [Q] flat meta-params.
        alpha_C: [C] step bound (RNNprop, equation 7) or output factor (DMoptimizer).
        kernel: computes the network.
        factor: schedule, from the steps done to a factor of alpha; None: none.
    """

    def __init__(
        self,
        rule: NetworkRule,
        meta_params_Q: Tensor,
        alpha_C: Tensor,
        kernel: Kernel,
        factor: Callable[[int], float] | None = None,
    ) -> None:
        self.rule = rule
        self.factor = factor
        self.meta_params_Q = meta_params_Q
        self.rate_C = rule.signed(alpha_C)
        self.kernel = kernel

    def init(self, params_CP: Tensor) -> LearnedState:
        """See `Optimizer`."""
        return self.rule.init(params_CP)

    def update(
        self, grads_CP: Tensor, state: LearnedState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, LearnedState]:
        """See `Optimizer`."""
        features_FN, accumulators = self.rule.features(grads_CP, state.features, donate=donate)
        output_N, hidden = self.kernel.step(
            self.rule.network, self.meta_params_Q, features_FN, state.hidden, donate=donate
        )
        updates_CP = output_N.view_as(params_CP) * self._rate(state)[:, None]
        return updates_CP, LearnedState(accumulators, hidden, state.steps + 1)

    def advance(self, grads_CP: Tensor, state: LearnedState, params_CP: Tensor) -> LearnedState:
        """See `Optimizer`."""
        rate_C = self._rate(state)
        return advance(self.rule, self.kernel, self.meta_params_Q, rate_C, grads_CP, state, params_CP)

    def evaluated(self, params_CP: Tensor, state: LearnedState) -> Tensor:
        """See `Optimizer`."""
        return params_CP

    def _rate(self, state: LearnedState) -> Tensor:
        return self.rate_C if self.factor is None else self.rate_C * self.factor(state.steps)


def advance(
    rule: NetworkRule,
    kernel: Kernel,
    meta_params_Q: Tensor,
    rate_C: Tensor,
    grads_CP: Tensor,
    state: LearnedState,
    params_CP: Tensor,
    features_FN: Tensor | None = None,
    kept: Kept | None = None,
) -> LearnedState:
    """One step in place, without a graph.

    Args:
        rule: features and architecture.
        kernel: computes the network.
        meta_params_Q: [Q] flat meta-params.
        rate_C: [C] what the output is multiplied with: sign times alpha.
        grads_CP: [C, P] gradients at the params.
        state: its buffers are overwritten.
        params_CP: [C, P] updated.
        features_FN: [F, N] receives the network's inputs, where somebody wants them.
        kept: a step's part of a tape of the kernel, which it fills.

    Returns:
        The next state.
    """
    passes = kernel.passes
    if passes is not None and all(passes.fits(tensor) for tensor in (grads_CP, params_CP, *state.hidden)):
        fused = fused_step(
            rule, passes, meta_params_Q, rate_C, grads_CP, state, params_CP, features_FN, kept=kept
        )
        if fused is not None:
            return fused
    inputs_FN, accumulators = rule.features(grads_CP, state.features, donate=True)
    if features_FN is not None:
        features_FN.copy_(inputs_FN)
    output_N, hidden = kernel.step(
        rule.network, meta_params_Q, inputs_FN, state.hidden, donate=True, kept=kept
    )
    params_CP += output_N.view_as(params_CP) * rate_C[:, None]
    return LearnedState(accumulators, hidden, state.steps + 1)


def fused_step(
    rule: NetworkRule,
    passes: FusedPasses,
    meta_params_Q: Tensor,
    rate_C: Tensor,
    grads_CP: Tensor,
    state: LearnedState,
    params_CP: Tensor,
    features_FN: Tensor | None,
    numbers_K: Tensor | None = None,
    kept: Kept | None = None,
) -> LearnedState | None:
    """As `advance`, in one pass over memory; None for a rule that has no such.

    Args:
        numbers_K: the step's numbers, where they lie on the device.
        kept: see `advance`.
    """
    if not isinstance(rule, RNNpropRule):
        return None
    moments: Moments = state.features
    inputs = RelativeInputs(rule.beta1, rule.beta2, rule.eps, moments.steps + 1, numbers_K)
    passes.relative_step(
        rule.network,
        meta_params_Q,
        inputs,
        grads_CP,
        moments.m_CP,
        moments.v_CP,
        state.hidden,
        rate_C,
        params_CP,
        features_FN,
        kept,
    )
    hidden = state.hidden if kept is None else kept.hidden
    return LearnedState(moments._replace(steps=inputs.t), hidden, state.steps + 1)


def fused_steps(
    rule: NetworkRule, passes: FusedPasses | None
) -> Callable[[Tensor, TensorSteps], None] | None:
    """What takes one step of every tensor in one pass over memory; None where nothing does.

    It is given meta-params and tensors, and raises MisfitError where a tensor does not lie as it would have to.
    """
    if passes is None or not passes.steps_tensors or not isinstance(rule, RNNpropRule):
        return None

    def take(meta_params_Q: Tensor, tensors: TensorSteps) -> None:
        passes.relative_steps(rule.network, meta_params_Q, rule.beta1, rule.beta2, rule.eps, tensors)

    return take
