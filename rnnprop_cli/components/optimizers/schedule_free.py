"""Schedule-Free AdamW (Defazio et al. 2024): averages of the iterates take the place of a falling learning rate.

Shape legend: C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from rnnprop_cli.components.optimizers.base import BaselineSpec, Given
from rnnprop_cli.fields import Decay, PositiveFloat
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


class ScheduleFreeAdamWSpec(BaselineSpec):
    """Defazio et al. 2024. It needs no schedule; its rate rises over the first `warmup` share of the horizon."""

    kind: Literal["schedule-free-adamw"] = "schedule-free-adamw"
    schedule: Literal["constant"] = "constant"
    beta1: Annotated[float, Field(gt=0, lt=1)] = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    default_lr: ClassVar[float] = 0.0025
    centre_k: ClassVar[int] = 10

    def build(self, given: Given) -> ScheduleFreeAdamW:
        """See `BaselineSpec`: its rate has no schedule but the warm-up."""
        warmup_steps = round(self.warmup * given.horizon)
        betas = (self.beta1, self.beta2)
        return ScheduleFreeAdamW(given.lr_C, warmup_steps, *betas, self.eps, self.weight_decay)


class ScheduleFreeState(NamedTuple):
    """State of the rule. The params themselves are y, where gradients are taken."""

    steps: int  # updates done
    z_CP: Tensor  # [C, P] the iterates that steps are taken from
    v_CP: Tensor  # [C, P] mean square of the gradients
    weight_sum: float  # of the iterates in their average
    largest: float  # factor of the learning rate so far


class ScheduleFreeAdamW:
    """Steps of Adam without momentum from z, gradients between z and the average x of all z so far.

    With gamma_t = lr * min(1, t / warm-up), u_t = g(y_t) / (sqrt(v_t / (1 - beta2^t)) + eps) + weight_decay y_t:

        z <- z - gamma_t u_t;  x <- (1 - c_t) x + c_t z, c_t = w_t / (w_1 + … + w_t), w_t = (max gamma)^2;
        y <- beta1 x + (1 - beta1) z.

    The loss of a step is that at y; what is evaluated at the end is x, as in the authors' program.

    Args:
        lr_C: [C] learning rates.
        warmup_steps: steps over which the rate rises linearly.
        beta1: share of the average in the point where gradients are taken, in (0, 1).
        beta2: decay of the mean square.
        eps: beside the root.
        weight_decay: decoupled, at y.
    """

    def __init__(
        self,
        lr_C: Tensor,
        warmup_steps: int = 0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.lr_C = lr_C
        self.warmup_steps = warmup_steps
        self.beta1, self.beta2, self.eps, self.weight_decay = beta1, beta2, eps, weight_decay

    def init(self, params_CP: Tensor) -> ScheduleFreeState:
        """See `Optimizer`."""
        return ScheduleFreeState(0, params_CP.clone(), torch.zeros_like(params_CP), 0.0, 0.0)

    def update(
        self, grads_CP: Tensor, state: ScheduleFreeState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, ScheduleFreeState]:
        """See `Optimizer`."""
        if not donate:
            state = state._replace(z_CP=state.z_CP.clone(), v_CP=state.v_CP.clone())
        numbers, after = self.timed(state)
        return self.update_by(numbers, grads_CP, state, params_CP), after

    def timed(self, state: ScheduleFreeState) -> tuple[tuple[float, float, float, float], ScheduleFreeState]:
        """The numbers of the next step, and the state behind it, but that its tensors are those before it."""
        t = state.steps + 1
        factor = min(1.0, t / self.warmup_steps) if self.warmup_steps else 1.0
        largest = max(state.largest, factor)
        weight_sum = state.weight_sum + largest**2
        c = largest**2 / weight_sum
        after = state._replace(steps=t, weight_sum=weight_sum, largest=largest)
        return (factor, c, self.beta1 * (1 - c) - 1, 1 - self.beta2**t), after

    def update_by(
        self, numbers: Sequence[Any], grads_CP: Tensor, state: ScheduleFreeState, params_CP: Tensor
    ) -> Tensor:
        """What is added to the params in the step whose numbers these are; the tensors of the state are overwritten.

        As numbers, or as tensors [] on the device: so it can be recorded and used for other steps.
        """
        factor, c, share, rest = numbers
        state.v_CP.mul_(self.beta2).addcmul_(grads_CP, grads_CP, value=1 - self.beta2)
        root_CP = (state.v_CP / rest).sqrt_().add_(self.eps)
        u_CP = torch.div(grads_CP, root_CP, out=root_CP)
        if self.weight_decay:
            u_CP.add_(params_CP, alpha=self.weight_decay)
        gamma_C1 = self.lr_C[:, None] * factor
        # y moves towards z by c, as x does, and takes its own share of the step
        updates_CP = (state.z_CP - params_CP).mul_(c)
        if isinstance(share, float):
            updates_CP.addcmul_(u_CP, gamma_C1, value=share)
        else:  # `value` cannot be a tensor
            updates_CP.addcmul_(u_CP, gamma_C1 * share)
        state.z_CP.addcmul_(u_CP, gamma_C1, value=-1)
        return updates_CP

    def advance(self, grads_CP: Tensor, state: ScheduleFreeState, params_CP: Tensor) -> ScheduleFreeState:
        """See `Optimizer`."""
        updates_CP, state = self.update(grads_CP, state, params_CP, donate=True)
        params_CP += updates_CP
        return state

    def evaluated(self, params_CP: Tensor, state: ScheduleFreeState) -> Tensor:
        """See `Optimizer`: x = y + (1 - 1 / beta1) (z - y)."""
        return params_CP.lerp(state.z_CP, 1 - 1 / self.beta1)
