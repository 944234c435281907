"""Lion (Chen et al. 2023, Symbolic Discovery of Optimization Algorithms).

Shape legend: C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from rnnprop_cli.components.optimizers.base import BaselineSpec, Rule, RuleState
from rnnprop_cli.fields import Decay
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.numerics.layout import MatrixBlock


class LionSpec(BaselineSpec):
    """Chen et al. 2023."""

    kind: Literal["lion"] = "lion"
    beta1: Decay = 0.9
    beta2: Decay = 0.99
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    default_lr: ClassVar[float] = 1e-4
    centre_k: ClassVar[int] = 15

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return Lion(self.beta1, self.beta2, self.weight_decay)


class Lion(Rule):
    """d = sign(beta1 m + (1 - beta1) g) + weight_decay theta; m <- beta2 m + (1 - beta2) g."""

    def __init__(self, beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 0.0) -> None:
        self.beta1, self.beta2, self.weight_decay = beta1, beta2, weight_decay

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """m."""
        return (torch.zeros_like(params_CP),)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        return self.direction_by((), grads_CP, state.slots_CP, params_CP), 1.0

    def timed(self, t: int) -> tuple[float, ...] | None:
        """See `Rule`: all steps are alike."""
        return ()

    def direction_by(
        self, numbers: Sequence[Any], grads_CP: Tensor, slots_CP: tuple[Tensor, ...], params_CP: Tensor
    ) -> Tensor:
        """See `Rule`."""
        (m_CP,) = slots_CP
        direction_CP = torch.lerp(grads_CP, m_CP, self.beta1).sign_()
        m_CP.lerp_(grads_CP, 1 - self.beta2)
        if self.weight_decay:
            direction_CP.add_(params_CP, alpha=self.weight_decay)
        return direction_CP
