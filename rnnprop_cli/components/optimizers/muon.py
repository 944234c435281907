"""Muon (Jordan et al. 2024) on weight matrices, Adam on all other coordinates.

Shape legend: C cells, P coordinates, A and B rows and columns of a matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from rnnprop_cli.components.optimizers.adam import Adam
from rnnprop_cli.components.optimizers.base import BaselineSpec, Rule, RuleState
from rnnprop_cli.fields import Decay
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.numerics.layout import MatrixBlock

# Quintic Newton-Schulz iteration of the authors, steep at zero: singular values end between about 0.7 and 1.2.
COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
ITERATIONS: Final = 5
EPS: Final = 1e-7
# Root mean square of an AdamW step (Liu et al. 2025): with it one learning rate fits the matrices and the rest.
ADAM_RMS: Final = 0.2


class MuonSpec(BaselineSpec):
    """Jordan et al. 2024 on weight matrices but the output layer's; Adam on all other coordinates."""

    kind: Literal["muon"] = "muon"
    momentum: Decay = 0.95
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    default_lr: ClassVar[float] = 0.001
    centre_k: ClassVar[int] = 9

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """See `BaselineSpec`."""
        return Muon(matrices, self.momentum, self.weight_decay)


class Muon(Rule):
    """m <- momentum m + (1 - momentum) g; d = 0.2 sqrt(max(A, B)) orthogonal(g + momentum (m - g)).

    As torch.optim.Muon with nesterov and adjust_lr_fn = "match_rms_adamw", but in the precision of the params instead
    of bfloat16. Every weight matrix but the output layer's counts as one; filters are flattened to [out, in * 9].

    Args:
        matrices: where the matrices lie in the flat vector.
        momentum: of the matrices.
        weight_decay: decoupled, for all coordinates.
    """

    def __init__(
        self, matrices: Sequence[MatrixBlock], momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        self.matrices, self.momentum, self.weight_decay = tuple(matrices), momentum, weight_decay
        self.rest = Adam()

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """Adam's m and v for all coordinates, and the matrices' m."""
        return *self.rest.slots(params_CP), torch.zeros_like(params_CP)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        numbers = self.timed(state.steps + 1)
        return self.direction_by(numbers, grads_CP, state.slots_CP, params_CP), 1.0

    def timed(self, t: int) -> tuple[float, float]:
        """See `Rule`: Adam's."""
        return self.rest.timed(t)

    def direction_by(
        self, numbers: Sequence[Any], grads_CP: Tensor, slots_CP: tuple[Tensor, ...], params_CP: Tensor
    ) -> Tensor:
        """See `Rule`."""
        *adam_slots, m_CP = slots_CP
        direction_CP = self.rest.direction_by(numbers, grads_CP, tuple(adam_slots), params_CP)
        m_CP.lerp_(grads_CP, 1 - self.momentum)
        for start, rows, columns in self.matrices:
            part = slice(start, start + rows * columns)
            momentum_CAB = torch.lerp(grads_CP[:, part], m_CP[:, part], self.momentum).view(-1, rows, columns)
            scale = ADAM_RMS * max(rows, columns) ** 0.5
            direction_CP[:, part] = orthogonal(momentum_CAB).mul_(scale).flatten(1)
        if self.weight_decay:
            direction_CP.add_(params_CP, alpha=self.weight_decay)
        return direction_CP


def orthogonal(matrix_CAB: Tensor) -> Tensor:
    """About U V^T of every matrix U S V^T, by Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    tall = matrix_CAB.shape[1] > matrix_CAB.shape[2]
    x = matrix_CAB.mT if tall else matrix_CAB
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=EPS)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.mT.contiguous() if tall else x
    return result
