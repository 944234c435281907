"""Adadelta (Zeiler 2012).

Shape legend: C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from rnnprop_cli.components.optimizers.base import BaselineSpec, FusedForm, Rule, RuleState, zeros
from rnnprop_cli.fields import Decay, PositiveFloat

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.numerics.layout import MatrixBlock


class AdadeltaSpec(BaselineSpec):
    """Zeiler 2012; lr multiplies the step. PyTorch: rho = 0.9, eps = 1e-6."""

    kind: Literal["adadelta"] = "adadelta"
    rho: Decay = 0.95
    eps: PositiveFloat = 1e-8
    default_lr: ClassVar[float] = 1.0
    centre_k: ClassVar[int] = -12

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return Adadelta(self.rho, self.eps)


class Adadelta(Rule):
    """v <- rho v + (1 - rho) g^2; d = g sqrt(D + eps) / sqrt(v + eps); D <- rho D + (1 - rho) d^2 (Zeiler 2012)."""

    def __init__(self, rho: float = 0.95, eps: float = 1e-8) -> None:
        self.rho, self.eps = rho, eps

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """v and D."""
        return zeros(params_CP, 2)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        v_CP, steps_CP = state.slots_CP
        v_CP.mul_(self.rho).addcmul_(grads_CP, grads_CP, value=1 - self.rho)
        direction_CP = (steps_CP + self.eps).sqrt_().div_((v_CP + self.eps).sqrt_()).mul_(grads_CP)
        steps_CP.mul_(self.rho).addcmul_(direction_CP, direction_CP, value=1 - self.rho)
        return direction_CP, 1.0

    def fused_form(self, state: RuleState) -> FusedForm | None:
        """See `Rule`."""
        return FusedForm("adadelta", (self.rho, 1 - self.rho, self.eps))
