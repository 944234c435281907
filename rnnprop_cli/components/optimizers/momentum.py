"""Gradient descent with momentum.

Shape legend: C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from rnnprop_cli.components.optimizers.base import BaselineSpec, FusedForm, Rule, RuleState, zeros
from rnnprop_cli.fields import Decay

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.numerics.layout import MatrixBlock


class MomentumSpec(BaselineSpec):
    """m <- momentum m + (1 - dampening) g; theta <- theta - lr m. Table 1 of the paper is dampening = momentum."""

    kind: Literal["momentum"] = "momentum"
    momentum: Decay = 0.9
    dampening: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False
    default_lr: ClassVar[float] = 0.01
    centre_k: ClassVar[int] = 3

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return Momentum(self.momentum, self.dampening, self.nesterov)


class Momentum(Rule):
    """m <- momentum m + (1 - dampening) g; d = m, or with nesterov g + momentum m.

    TensorFlow and PyTorch: dampening = 0. Table 1 of the paper: dampening = momentum.
    """

    def __init__(self, momentum: float = 0.9, dampening: float = 0.0, nesterov: bool = False) -> None:
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """m."""
        return zeros(params_CP, 1)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        (m_CP,) = state.slots_CP
        m_CP.mul_(self.momentum).add_(grads_CP, alpha=1 - self.dampening)
        return (grads_CP.add(m_CP, alpha=self.momentum) if self.nesterov else m_CP), 1.0

    def fused_form(self, state: RuleState) -> FusedForm | None:
        """See `Rule`."""
        kind = "nesterov" if self.nesterov else "momentum"
        return FusedForm(kind, (self.momentum, 1 - self.dampening))
