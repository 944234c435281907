"""What RNNprop and DMoptimizer share: features → coordinatewise network → step.

Shape legend: C cells, P coordinates, N = C P, F features, Q meta-params.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.passes import FusedPasses, TensorSteps


class LearnedState(NamedTuple):
    """State of a learned optimizer."""

    features: Any  # accumulators of the rule, a NamedTuple of tensors or ()
    hidden: Hidden  # [L, H, N] each, coordinates of all cells side by side


class LearnedRule(Protocol):
    """What sets one learned optimizer apart from another: its network's inputs and the sign of its output."""

    network: Network
    sign: float  # updates = sign * alpha * output
    fuses_tensors: bool  # whether there is `fused_steps`

    def init(self, params_CP: Tensor) -> Any:
        """Accumulators before the first step."""
        ...

    def features(self, grads_CP: Tensor, state: Any, *, donate: bool) -> tuple[Tensor, Any]:
        """[F, N] inputs of the network and the next accumulators."""
        ...

    def fused_step(
        self,
        passes: FusedPasses,
        meta_params_Q: Tensor,
        rate_C: Tensor,
        grads_CP: Tensor,
        state: LearnedState,
        params_CP: Tensor,
        features_FN: Tensor | None,
    ) -> LearnedState | None:
        """As `advance` below, in one pass over memory; None where there is no such."""
        ...

    def fused_steps(self, passes: FusedPasses, meta_params_Q: Tensor, tensors: TensorSteps) -> None:
        """One step of every tensor in one pass over memory; only where `fuses_tensors`.

        Raises:
            MisfitError: a tensor does not lie as it would have to.
        """
        ...


@runtime_checkable
class TimedRule(LearnedRule, Protocol):
    """A rule that tells which of its numbers change from step to step, so that they may lie on the device."""

    def timed(self, t: int) -> tuple[float, ...]:
        """These numbers at step t = 1, 2, …"""
        ...

    def timed_features(
        self, grads_CP: Tensor, state: Any, numbers: Sequence[float | Tensor], *, donate: bool
    ) -> tuple[Tensor, Any]:
        """As `features`, with the step's numbers given, as tensors [] perhaps."""
        ...

    def fused_step(
        self,
        passes: FusedPasses,
        meta_params_Q: Tensor,
        rate_C: Tensor,
        grads_CP: Tensor,
        state: LearnedState,
        params_CP: Tensor,
        features_FN: Tensor | None,
        numbers_K: Tensor | None = None,
    ) -> LearnedState | None:
        """See `LearnedRule`; `numbers_K` are the step's numbers, where they lie on the device."""
        ...


class Learned:
    """A learned optimizer with given meta-params, for use (no graph).

    Args:
        rule: features and architecture.
        meta_params_Q: [Q] flat meta-params.
        alpha_C: [C] step bound (RNNprop, equation 7) or output factor (DMoptimizer).
        kernel: computes the network.
    """

    def __init__(self, rule: LearnedRule, meta_params_Q: Tensor, alpha_C: Tensor, kernel: Kernel) -> None:
        self.rule = rule
        self.meta_params_Q = meta_params_Q
        self.rate_C = rule.sign * alpha_C
        self.kernel = kernel

    def init(self, params_CP: Tensor) -> LearnedState:
        """See `Optimizer`."""
        return init_state(self.rule, params_CP)

    def update(
        self, grads_CP: Tensor, state: LearnedState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, LearnedState]:
        """See `Optimizer`."""
        features_FN, accumulators = self.rule.features(grads_CP, state.features, donate=donate)
        output_N, hidden = self.kernel.step(
            self.rule.network, self.meta_params_Q, features_FN, state.hidden, donate=donate
        )
        updates_CP = output_N.view_as(params_CP) * self.rate_C[:, None]
        return updates_CP, LearnedState(accumulators, hidden)

    def advance(self, grads_CP: Tensor, state: LearnedState, params_CP: Tensor) -> LearnedState:
        """See `Optimizer`."""
        return advance(self.rule, self.kernel, self.meta_params_Q, self.rate_C, grads_CP, state, params_CP)

    def evaluated(self, params_CP: Tensor, state: LearnedState) -> Tensor:
        """See `Optimizer`."""
        return params_CP


def advance(
    rule: LearnedRule,
    kernel: Kernel,
    meta_params_Q: Tensor,
    rate_C: Tensor,
    grads_CP: Tensor,
    state: LearnedState,
    params_CP: Tensor,
    features_FN: Tensor | None = None,
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

    Returns:
        The next state.
    """
    passes = kernel.passes
    if passes is not None and all(passes.fits(tensor) for tensor in (grads_CP, params_CP, *state.hidden)):
        fused = rule.fused_step(passes, meta_params_Q, rate_C, grads_CP, state, params_CP, features_FN)
        if fused is not None:
            return fused
    inputs_FN, accumulators = rule.features(grads_CP, state.features, donate=True)
    if features_FN is not None:
        features_FN.copy_(inputs_FN)
    output_N, hidden = kernel.step(rule.network, meta_params_Q, inputs_FN, state.hidden, donate=True)
    params_CP += output_N.view_as(params_CP) * rate_C[:, None]
    return LearnedState(accumulators, hidden)


def init_state(rule: LearnedRule, params_CP: Tensor) -> LearnedState:
    """The state before the first step: accumulators and hidden state at zero."""
    hidden = rule.network.zero_hidden(params_CP.numel(), params_CP.dtype, params_CP.device)
    return LearnedState(rule.init(params_CP), hidden)


def init_meta_params(network: Network, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[Q] meta-params at the start of meta-training, as in the authors' code; a pure function of the seed.

    LSTM weights ~ U(-b, b) with b = sqrt(3 / (D + H)) for a layer of D inputs and H units (0.274 for 20 + 20, 0.369 for
    the first layer of DMoptimizer, 2 + 20), biases 0 but 1 for the forget gate; weights of the linear layers
    ~ Normal(0, 0.1) cut off at two standard deviations, biases 0.
    """
    generator = torch.Generator().manual_seed(seed)
    named: dict[str, Tensor] = {}
    bound = 0.0
    for name, shape in network.named_shapes():
        value = torch.zeros(shape)
        if name.endswith("w_input"):
            bound = (3 / (shape[1] + network.hidden)) ** 0.5  # of w_hidden too, which follows
        if name.startswith("lstm") and not name.endswith("bias"):
            value.uniform_(-bound, bound, generator=generator)
        elif name.startswith("lstm"):
            value[network.hidden : 2 * network.hidden] = 1.0
        elif name.endswith("weight"):
            torch.nn.init.trunc_normal_(value, std=0.1, a=-0.2, b=0.2, generator=generator)
        named[name] = value
    return network.flatten(named).to(device=device, dtype=dtype)
