"""NAdam (Dozat 2016) and NadamW, the strongest of AlgoPerf's tuned baselines (Dahl et al. 2023).

Shape legend: C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from rnnprop_cli.components.optimizers.base import BaselineSpec, FusedForm, Rule, RuleState, zeros
from rnnprop_cli.fields import Decay, PositiveFloat

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.numerics.layout import MatrixBlock


class NAdamSpec(BaselineSpec):
    """Adam with Nesterov momentum (Dozat 2016)."""

    kind: Literal["nadam"] = "nadam"
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    momentum_decay: Annotated[float, Field(ge=0)] = 0.004
    default_lr: ClassVar[float] = 0.002
    centre_k: ClassVar[int] = 11

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return NAdam(self.beta1, self.beta2, self.eps, self.momentum_decay)


class NAdamWSpec(BaselineSpec):
    """NAdam with decoupled weight decay, the strongest of AlgoPerf's tuned baselines (Dahl et al. 2023)."""

    kind: Literal["nadamw"] = "nadamw"
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    momentum_decay: Annotated[float, Field(ge=0)] = 0.004
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    default_lr: ClassVar[float] = 0.002
    centre_k: ClassVar[int] = 11

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return NAdam(self.beta1, self.beta2, self.eps, self.momentum_decay, self.weight_decay)


class NAdam(Rule):
    """Adam with Nesterov momentum (Dozat 2016), as in torch.optim.NAdam; with weight_decay its decoupled form (NadamW).

    m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2;
    mu_t = beta1 (1 - 0.5 * 0.96^(t * momentum_decay)); M_t = mu_1 … mu_t;
    d = ((1 - mu_t) g / (1 - M_t) + mu_(t+1) m / (1 - M_(t+1))) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay theta.

    M_(t - 1) is the state's `scalar`.
    """

    def __init__(
        self,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        momentum_decay: float = 0.004,
        weight_decay: float = 0.0,
    ) -> None:
        self.beta1, self.beta2, self.eps, self.momentum_decay = beta1, beta2, eps, momentum_decay
        self.weight_decay = weight_decay

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """m and v."""
        return zeros(params_CP, 2)

    def momenta(self, t: int) -> tuple[float, float]:
        """mu_t and mu_(t+1)."""
        mu, mu_next = (self.beta1 * (1 - 0.5 * 0.96 ** (s * self.momentum_decay)) for s in (t, t + 1))
        return mu, mu_next

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        m_CP, v_CP = state.slots_CP
        t = state.steps + 1
        mu, mu_next = self.momenta(t)
        product = state.scalar * mu
        m_CP.lerp_(grads_CP, 1 - self.beta1)
        v_CP.mul_(self.beta2).addcmul_(grads_CP, grads_CP, value=1 - self.beta2)
        denominator_CP = (v_CP / (1 - self.beta2**t)).sqrt_().add_(self.eps)
        numerator_CP = grads_CP * ((1 - mu) / (1 - product))
        numerator_CP.add_(m_CP, alpha=mu_next / (1 - product * mu_next))
        direction_CP = numerator_CP.div_(denominator_CP)
        if self.weight_decay:
            direction_CP.add_(params_CP, alpha=self.weight_decay)
        return direction_CP, product

    def fused_form(self, state: RuleState) -> FusedForm | None:
        """See `Rule`."""
        t = state.steps + 1
        mu, mu_next = self.momenta(t)
        product = state.scalar * mu
        root = (1 - self.beta2**t) ** 0.5
        moments = (1 - self.beta1, self.beta2, 1 - self.beta2, 1 / root, self.eps)
        factors = ((1 - mu) / (1 - product), mu_next / (1 - product * mu_next))
        return FusedForm("nadam", (*moments, *factors, self.weight_decay), product)
