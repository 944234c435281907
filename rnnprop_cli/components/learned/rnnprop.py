"""RNNprop (section 4.3 of the paper).

Shape legend: C cells, P coordinates, N = C P, F = 2 features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from rnnprop_cli.components.learned.base import ArchitectureSpec
from rnnprop_cli.components.learned.network import NetworkRule
from rnnprop_cli.fields import Decay, PositiveFloat
from rnnprop_cli.kernels.network import Network
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


class Moments(NamedTuple):
    """Moving averages of the gradient."""

    steps: int  # gradients seen
    m_CP: Tensor  # [C, P] first moment
    v_CP: Tensor  # [C, P] second raw moment


class RNNpropSpec(ArchitectureSpec):
    """The paper's optimizer (equations 5-9, Figure 1)."""

    kind: Literal["rnnprop"] = "rnnprop"
    alpha: PositiveFloat = 0.1  # bound of every step (equation 7)
    beta1: Decay = 0.95
    beta2: Decay = 0.95
    eps: PositiveFloat = 1e-8
    embedding: Annotated[int, Field(ge=1, le=256)] = 20
    hidden: Annotated[int, Field(ge=1, le=256)] = 20
    layers: Annotated[int, Field(ge=1, le=4)] = 2

    def build(self) -> RNNpropRule:
        """See `ArchitectureSpec`."""
        return RNNpropRule(self)


class RNNpropRule(NetworkRule):
    """Relative gradients in, bounded steps out.

    m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, both divided by 1 - beta^t as in Adam;
    g~ = g / (sqrt(v^) + eps), m~ = m^ / (sqrt(v^) + eps) (equations 8 and 9);
    [g~, m~] → Linear + ELU → two LSTM layers → Linear → x_out; theta <- theta - alpha tanh(x_out) (equation 7).

    The text of the paper writes the step with a plus; the authors' code subtracts it, and so do we, which keeps the
    sign of published weights. The order of the inputs is the code's too.
    """

    sign = -1.0

    def __init__(self, spec: RNNpropSpec) -> None:
        self.beta1, self.beta2, self.eps = spec.beta1, spec.beta2, spec.eps
        self.network = Network(
            features=2, embedding=spec.embedding, hidden=spec.hidden, layers=spec.layers, bounded=True
        )

    def accumulators(self, params_CP: Tensor) -> Moments:
        """See `NetworkRule`."""
        return Moments(0, torch.zeros_like(params_CP), torch.zeros_like(params_CP))

    def features(self, grads_CP: Tensor, state: Moments, *, donate: bool) -> tuple[Tensor, Moments]:
        """See `NetworkRule`."""
        return self.timed_features(grads_CP, state, self.timed(state.steps + 1), donate=donate)

    def timed(self, t: int) -> tuple[float, ...]:
        """See `NetworkRule`: what m and v are divided by."""
        return 1 - self.beta1**t, 1 - self.beta2**t

    def timed_features(
        self, grads_CP: Tensor, state: Moments, numbers: Sequence[float | Tensor], *, donate: bool
    ) -> tuple[Tensor, Moments]:
        """See `NetworkRule`."""
        of_m, of_v = numbers
        m_CP, v_CP = (state.m_CP, state.v_CP) if donate else (state.m_CP.clone(), state.v_CP.clone())
        m_CP.lerp_(grads_CP, 1 - self.beta1)
        v_CP.mul_(self.beta2).addcmul_(grads_CP, grads_CP, value=1 - self.beta2)
        scale_CP = (v_CP / of_v).sqrt_().add_(self.eps).reciprocal_()
        features_FCP = grads_CP.new_empty(2, *grads_CP.shape)
        torch.mul(grads_CP, scale_CP, out=features_FCP[0])
        torch.mul(m_CP, scale_CP, out=features_FCP[1]).div_(of_m)
        return features_FCP.flatten(1), Moments(state.steps + 1, m_CP, v_CP)
