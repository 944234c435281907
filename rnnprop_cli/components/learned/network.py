"""What RNNprop and DMoptimizer share: features → coordinatewise network → step.

Shape legend: C cells, P coordinates, N = C P, F features, Q meta-params.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rnnprop_cli.components.learned.base import Architecture, Context, Shapes
from rnnprop_cli.kernels.network import Hidden, Network, network_step
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

Rate = TypeVar("Rate", float, "Tensor")  # an alpha for all cells, or one of each


class LearnedState(NamedTuple):
    """State of a coordinatewise network."""

    features: Any  # accumulators of the rule, a NamedTuple of tensors or ()
    hidden: Hidden  # [L, H, N] each, coordinates of all cells side by side
    steps: int = 0  # done


class NetworkRule(Architecture):
    """What sets one coordinatewise network apart from another: its inputs and the sign of its output.

    Attributes:
        network: that every coordinate goes through.
        sign: updates = sign * alpha * output.
    """

    network: Network
    sign: float
    reads_params = False

    def signed(self, alpha: Rate) -> Rate:
        """What the network's output is multiplied with."""
        return self.sign * alpha

    @abstractmethod
    def accumulators(self, params_CP: Tensor) -> Any:
        """Before the first step."""

    @abstractmethod
    def features(self, grads_CP: Tensor, state: Any, *, donate: bool) -> tuple[Tensor, Any]:
        """[F, N] inputs of the network and the next accumulators; with `donate` in the memory of the old ones."""

    def timed(self, t: int) -> tuple[float, ...]:
        """The numbers of step t = 1, 2, … that change from step to step, so that they may lie on the device."""
        return ()

    def timed_features(
        self, grads_CP: Tensor, state: Any, numbers: Sequence[float | Tensor], *, donate: bool
    ) -> tuple[Tensor, Any]:
        """As `features`, with the step's numbers given, as tensors [] perhaps."""
        return self.features(grads_CP, state, donate=donate)

    def named_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """See `Architecture`."""
        return self.network.named_shapes()

    def init(self, params_CP: Tensor, shapes: Shapes = ()) -> LearnedState:
        """See `Architecture`: accumulators and hidden state at zero."""
        hidden = self.network.zero_hidden(params_CP.numel(), params_CP.dtype, params_CP.device)
        return LearnedState(self.accumulators(params_CP), hidden)

    def step(
        self,
        meta_params: Mapping[str, Tensor],
        state: LearnedState,
        grads_CP: Tensor,
        params_CP: Tensor,
        context: Context,
    ) -> tuple[Tensor, LearnedState]:
        """See `Architecture`."""
        features_FN, accumulators = self.features(grads_CP, state.features, donate=False)
        weights = self.network.weights(self.flatten(meta_params))
        output_N, hidden = network_step(self.network, weights, features_FN, state.hidden)
        updates_CP = output_N.view_as(params_CP) * self.signed(context.rate_C)[:, None]
        return updates_CP, LearnedState(accumulators, hidden, state.steps + 1)

    def init_meta_params(self, seed: int) -> dict[str, Tensor]:
        """See `Architecture`; as in the authors' code.

        LSTM weights ~ U(-b, b) with b = sqrt(3 / (D + H)) for a layer of D inputs and H units (0.274 for 20 + 20, 0.369
        for the first layer of DMoptimizer, 2 + 20), biases 0 but 1 for the forget gate; weights of the linear layers
        ~ Normal(0, 0.1) cut off at two standard deviations, biases 0.
        """
        network = self.network
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
        return named
