"""What RNNprop and DMoptimizer share: features → coordinatewise network → step.

Shape legend: C cells, P coordinates, N = C P, F features, Q meta-params.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from rnnprop_cli.kernels.base import Hidden, Kernel, Network


class LearnedState(NamedTuple):
    """State of a learned optimizer."""

    features: Any  # accumulators of the rule, a NamedTuple of tensors or ()
    hidden: Hidden  # [L, H, N] each, coordinates of all cells side by side


class LearnedRule(Protocol):
    """What sets one learned optimizer apart from another: its network's inputs and the sign of its output."""

    network: Network
    sign: float  # updates = sign * alpha * output

    def init(self, params_CP: Tensor) -> Any:
        """Accumulators before the first step."""
        ...

    def features(self, grads_CP: Tensor, state: Any, *, donate: bool) -> tuple[Tensor, Any]:
        """[F, N] inputs of the network and the next accumulators."""
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
        self.alpha_C1 = alpha_C[:, None]
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
        updates_CP = output_N.view_as(params_CP) * (self.alpha_C1 * self.rule.sign)
        return updates_CP, LearnedState(accumulators, hidden)


def init_state(rule: LearnedRule, params_CP: Tensor) -> LearnedState:
    """The state before the first step: accumulators and hidden state at zero."""
    hidden = rule.network.zero_hidden(params_CP.numel(), params_CP.dtype, params_CP.device)
    return LearnedState(rule.init(params_CP), hidden)


def init_meta_params(network: Network, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[Q] meta-params at the start of meta-training, as in the authors' code; a pure function of the seed.

    LSTM weights ~ U(-b, b) with b = sqrt(3 / (2 H)) (0.274 for H = 20), biases 0 but 1 for the forget gate; weights of
    the linear layers ~ Normal(0, 0.1) cut off at two standard deviations, biases 0.
    """
    generator = torch.Generator().manual_seed(seed)
    bound = (3 / (2 * network.hidden)) ** 0.5
    named: dict[str, Tensor] = {}
    for name, shape in network.named_shapes():
        value = torch.zeros(shape)
        if name.startswith("lstm") and not name.endswith("bias"):
            value.uniform_(-bound, bound, generator=generator)
        elif name.startswith("lstm"):
            value[network.hidden : 2 * network.hidden] = 1.0
        elif name.endswith("weight"):
            torch.nn.init.trunc_normal_(value, std=0.1, a=-0.2, b=0.2, generator=generator)
        named[name] = value
    return network.flatten(named).to(device=device, dtype=dtype)
