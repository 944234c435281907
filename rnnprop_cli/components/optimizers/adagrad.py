"""Adagrad (Duchi et al. 2011).

Shape legend: C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from rnnprop_cli.components.optimizers.base import BaselineSpec, FusedForm, Rule, RuleState
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.numerics.layout import MatrixBlock


class AdagradSpec(BaselineSpec):
    """G <- G + g^2; theta <- theta - lr g / (sqrt(G) + eps). PyTorch: initial_accumulator = 0, eps = 1e-10."""

    kind: Literal["adagrad"] = "adagrad"
    initial_accumulator: Annotated[float, Field(ge=0)] = 0.1
    eps: Annotated[float, Field(ge=0)] = 0.0
    default_lr: ClassVar[float] = 0.01
    centre_k: ClassVar[int] = 2

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return Adagrad(self.initial_accumulator, self.eps)


class Adagrad(Rule):
    """G <- G + g^2; d = g / (sqrt(G) + eps) (Duchi et al. 2011)."""

    def __init__(self, initial_accumulator: float = 0.1, eps: float = 0.0) -> None:
        self.initial_accumulator, self.eps = initial_accumulator, eps

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """G."""
        return (torch.full_like(params_CP, self.initial_accumulator),)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`. A coordinate that has never seen a gradient stays where it is, also with eps = 0."""
        (sum_CP,) = state.slots_CP
        sum_CP.addcmul_(grads_CP, grads_CP)
        direction_CP = grads_CP / sum_CP.sqrt().add_(self.eps)
        if self.initial_accumulator == 0 and self.eps == 0:
            direction_CP.masked_fill_(sum_CP == 0, 0.0)
        return direction_CP, 1.0

    def fused_form(self, state: RuleState) -> FusedForm | None:
        """See `Rule`."""
        at_rest = self.initial_accumulator == 0 and self.eps == 0
        return FusedForm("adagrad", (self.eps, float(at_rest)))
