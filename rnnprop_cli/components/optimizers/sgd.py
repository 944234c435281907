"""Gradient descent.

Shape legend: C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from rnnprop_cli.components.optimizers.base import BaselineSpec, FusedForm, Rule, RuleState

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.numerics.layout import MatrixBlock


class SGDSpec(BaselineSpec):
    """theta <- theta - lr g."""

    kind: Literal["sgd"] = "sgd"
    default_lr: ClassVar[float] = 0.01
    centre_k: ClassVar[int] = -2

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return SGD()


class SGD(Rule):
    """d = g."""

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """None."""
        return ()

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        return grads_CP, 1.0

    def fused_form(self, state: RuleState) -> FusedForm | None:
        """See `Rule`."""
        return FusedForm("sgd", ())
