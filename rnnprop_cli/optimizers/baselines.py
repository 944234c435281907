"""The classical rules (Table 1 of the paper and three younger ones), batched over cells.

Each rule gives a *direction*, to which the step is proportional: updates = -lr * factor(t) * direction. Learning rates
(one per cell), schedules and weight decay therefore work alike for all of them.

Shape legend: C cells, P coordinates.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class RuleState(NamedTuple):
    """State of any classical rule."""

    steps: int  # updates done
    slots_CP: tuple[Tensor, ...]  # the rule's own accumulators, [C, P] each
    scalar: float = 1.0  # the rule's own running product (NAdam), else unused


class Rule(Protocol):
    """How a gradient becomes a direction. `direction` overwrites the slots that it is given."""

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """The accumulators before the first step."""
        ...

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """Direction of step t = state.steps + 1 and the next `scalar`; the slots are updated in place."""
        ...


class Baseline:
    """A classical rule with a learning rate per cell and a schedule.

    Args:
        rule: gives the direction.
        lr_C: [C] learning rates.
        factor: schedule, from the steps done to a factor of the learning rate.
    """

    def __init__(self, rule: Rule, lr_C: Tensor, factor: Callable[[int], float] = lambda count: 1.0) -> None:
        self.rule = rule
        self.lr_C = lr_C
        self.factor = factor

    def init(self, params_CP: Tensor) -> RuleState:
        """See `Optimizer`."""
        return RuleState(0, self.rule.slots(params_CP))

    def update(
        self, grads_CP: Tensor, state: RuleState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, RuleState]:
        """See `Optimizer`."""
        if not donate:
            state = state._replace(slots_CP=tuple(slot.clone() for slot in state.slots_CP))
        direction_CP, scalar = self.rule.direction(grads_CP, state, params_CP)
        updates_CP = direction_CP * (self.lr_C[:, None] * -self.factor(state.steps))
        return updates_CP, RuleState(state.steps + 1, state.slots_CP, scalar)

    def advance(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> RuleState:
        """See `Optimizer`."""
        updates_CP, state = self.update(grads_CP, state, params_CP, donate=True)
        params_CP += updates_CP
        return state

    def evaluated(self, params_CP: Tensor, state: RuleState) -> Tensor:
        """See `Optimizer`."""
        return params_CP


def _zeros(params_CP: Tensor, n: int) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(params_CP) for _ in range(n))


class SGD:
    """d = g."""

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """None."""
        return ()

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        return grads_CP, 1.0


class Momentum:
    """m <- momentum m + (1 - dampening) g; d = m, or with nesterov g + momentum m.

    TensorFlow and PyTorch: dampening = 0. Table 1 of the paper: dampening = momentum.
    """

    def __init__(self, momentum: float = 0.9, dampening: float = 0.0, nesterov: bool = False) -> None:
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """m."""
        return _zeros(params_CP, 1)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        (m_CP,) = state.slots_CP
        m_CP.mul_(self.momentum).add_(grads_CP, alpha=1 - self.dampening)
        return (grads_CP.add(m_CP, alpha=self.momentum) if self.nesterov else m_CP), 1.0


class Adagrad:
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


class Adadelta:
    """v <- rho v + (1 - rho) g^2; d = g sqrt(D + eps) / sqrt(v + eps); D <- rho D + (1 - rho) d^2 (Zeiler 2012)."""

    def __init__(self, rho: float = 0.95, eps: float = 1e-8) -> None:
        self.rho, self.eps = rho, eps

    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """v and D."""
        return _zeros(params_CP, 2)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        v_CP, steps_CP = state.slots_CP
        v_CP.mul_(self.rho).addcmul_(grads_CP, grads_CP, value=1 - self.rho)
        direction_CP = (steps_CP + self.eps).sqrt_().div_((v_CP + self.eps).sqrt_()).mul_(grads_CP)
        steps_CP.mul_(self.rho).addcmul_(direction_CP, direction_CP, value=1 - self.rho)
        return direction_CP, 1.0


class RMSprop:
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


class Adam:
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
        return _zeros(params_CP, 2)

    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """See `Rule`."""
        m_CP, v_CP = state.slots_CP
        t = state.steps + 1
        m_CP.lerp_(grads_CP, 1 - self.beta1)
        v_CP.mul_(self.beta2).addcmul_(grads_CP, grads_CP, value=1 - self.beta2)
        root = (1 - self.beta2**t) ** 0.5
        denominator_CP = v_CP.sqrt().div_(root).add_(self.eps)
        direction_CP = torch.div(m_CP, denominator_CP, out=denominator_CP).div_(1 - self.beta1**t)
        if self.weight_decay:
            direction_CP.add_(params_CP, alpha=self.weight_decay)
        return direction_CP, 1.0


class NAdam:
    """Adam with Nesterov momentum (Dozat 2016), as in torch.optim.NAdam; with weight_decay its decoupled form (NadamW).

    mu_t = beta1 (1 - 0.5 * 0.96^(t * momentum_decay)); the running product of mu is the state's `scalar`.
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
        return _zeros(params_CP, 2)

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
