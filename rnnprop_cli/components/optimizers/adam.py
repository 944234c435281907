"""Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).

Shape legend: C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from rnnprop_cli.components.optimizers.base import BaselineSpec, FusedForm, Rule, RuleState, zeros
from rnnprop_cli.fields import Decay, PositiveFloat
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.numerics.layout import MatrixBlock


class AdamSpec(BaselineSpec):
    """Kingma & Ba 2015."""

    kind: Literal["adam"] = "adam"
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    default_lr: ClassVar[float] = 0.001
    centre_k: ClassVar[int] = 11

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return Adam(self.beta1, self.beta2, self.eps)


class AdamWSpec(BaselineSpec):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    default_lr: ClassVar[float] = 0.001
    centre_k: ClassVar[int] = 11

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return Adam(self.beta1, self.beta2, self.eps, self.weight_decay)


class Adam(Rule):
    """Kingma & Ba 2015; with weight_decay the decoupled form of Loshchilov & Hutter 2019 (AdamW).

    m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2;
    d = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay theta.
    """

    def __init__(
        self, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        self.beta1, self.beta2, self.eps, self.weight_decay = beta1, beta2, eps, weight_decay

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """m and v."""
        return zeros(params_CP, 2)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        numbers = self.timed(state.steps + 1)
        return self.direction_by(numbers, grads_CP, state.slots_CP, params_CP), 1.0

    def timed(self, t: int) -> tuple[float, float]:
        """See `Rule`: what the root of v and m are divided by."""
        return (1 - self.beta2**t) ** 0.5, 1 - self.beta1**t

    def direction_by(
        self, numbers: Sequence[Any], grads_CP: Tensor, slots_CP: tuple[Tensor, ...], params_CP: Tensor
    ) -> Tensor:
        """See `Rule`."""
        m_CP, v_CP = slots_CP
        root, rest = numbers
        m_CP.lerp_(grads_CP, 1 - self.beta1)
        v_CP.mul_(self.beta2).addcmul_(grads_CP, grads_CP, value=1 - self.beta2)
        denominator_CP = v_CP.sqrt().div_(root).add_(self.eps)
        direction_CP = torch.div(m_CP, denominator_CP, out=denominator_CP).div_(rest)
        if self.weight_decay:
            direction_CP.add_(params_CP, alpha=self.weight_decay)
        return direction_CP

    def fused_form(self, state: RuleState) -> FusedForm | None:
        """See `Rule`."""
        root, rest = self.timed(state.steps + 1)
        moments = (1 - self.beta1, self.beta2, 1 - self.beta2, 1 / root, self.eps)
        return FusedForm("adam", (*moments, 1 / rest, self.weight_decay))
