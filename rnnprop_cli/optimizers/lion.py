"""Lion (Chen et al. 2023, Symbolic Discovery of Optimization Algorithms).

Shape legend: C cells, P coordinates.
"""

import torch
from torch import Tensor

from rnnprop_cli.optimizers.baselines import RuleState


class Lion:
    """d = sign(beta1 m + (1 - beta1) g) + weight_decay theta; m <- beta2 m + (1 - beta2) g."""

    def __init__(self, beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 0.0) -> None:
        self.beta1, self.beta2, self.weight_decay = beta1, beta2, weight_decay

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """m."""
        return (torch.zeros_like(params_CP),)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        (m_CP,) = state.slots_CP
        direction_CP = torch.lerp(grads_CP, m_CP, self.beta1).sign_()
        m_CP.lerp_(grads_CP, 1 - self.beta2)
        if self.weight_decay:
            direction_CP.add_(params_CP, alpha=self.weight_decay)
        return direction_CP, 1.0
