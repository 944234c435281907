"""RMSprop (Tieleman & Hinton 2012).

Shape legend: C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from rnnprop_cli.components.optimizers.base import BaselineSpec, FusedForm, Rule, RuleState
from rnnprop_cli.fields import Decay, PositiveFloat
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.numerics.layout import MatrixBlock


class RMSpropSpec(BaselineSpec):
    """v <- decay v + (1 - decay) g^2; theta <- theta - lr g / sqrt(v + eps).

    PyTorch: decay = 0.99, eps = 1e-8, eps_inside_root = false, initial_mean_square = 0.
    """

    kind: Literal["rmsprop"] = "rmsprop"
    decay: Decay = 0.9
    eps: PositiveFloat = 1e-10
    eps_inside_root: bool = True
    initial_mean_square: Annotated[float, Field(ge=0)] = 1.0
    default_lr: ClassVar[float] = 0.001
    centre_k: ClassVar[int] = 8

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return RMSprop(self.decay, self.eps, self.eps_inside_root, self.initial_mean_square)


class RMSprop(Rule):
    """v <- decay v + (1 - decay) g^2; d = g / sqrt(v + eps), or g / (sqrt(v) + eps) (Tieleman & Hinton 2012)."""

    def __init__(
        self,
        decay: float = 0.9,
        eps: float = 1e-10,
        eps_inside_root: bool = True,
        initial_mean_square: float = 1.0,
    ) -> None:
        self.decay, self.eps = decay, eps
        self.eps_inside_root, self.initial_mean_square = eps_inside_root, initial_mean_square

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """v."""
        return (torch.full_like(params_CP, self.initial_mean_square),)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        (v_CP,) = state.slots_CP
        v_CP.mul_(self.decay).addcmul_(grads_CP, grads_CP, value=1 - self.decay)
        if self.eps_inside_root:
            return grads_CP / (v_CP + self.eps).sqrt_(), 1.0
        return grads_CP / v_CP.sqrt().add_(self.eps), 1.0

    def fused_form(self, state: RuleState) -> FusedForm | None:
        """See `Rule`."""
        kind = "rmsprop inside" if self.eps_inside_root else "rmsprop outside"
        return FusedForm(kind, (self.decay, 1 - self.decay, self.eps))
