"""A direction under a horizon law, with the direction as fast as it is without.

Shape legend: C cells, P coordinates, G tensors, K numbers of the law, Q meta-params.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.components.law import NUMBERS, Law, initial_sizes, spread
from rnnprop_cli.components.optimizers.base import Given, Optimizer


class LawfulState(NamedTuple):
    """State of a direction under a law."""

    steps: int  # done
    base: Any  # the direction's
    moved_CP: Tensor  # [C, P] memory for the direction
    shares_CP: Tensor  # [C, P] what it is multiplied with, coordinate by coordinate


class LawfulOptimizer:
    """What `LawRule` defines, for use (no graph).

    Args:
        base: the direction, at a rate of one; it does not read the params.
        law_CK: [C, K] the law of every cell, or [K] of all.
        given: factors of the law, horizon and shapes.
        factor: schedule of the factor, from the steps done; None: none.
    """

    def __init__(
        self,
        base: Optimizer[Any],
        law_CK: Tensor,
        given: Given,
        factor: Callable[[int], float] | None = None,
    ) -> None:
        self.base, self.given, self.factor = base, given, factor
        self.law = Law.of(law_CK.expand(len(given.lr_C), len(NUMBERS)))

    def init(self, params_CP: Tensor) -> LawfulState:
        """See `Optimizer`."""
        shares_CG = self.law.shares(initial_sizes(params_CP, self.given.shapes))
        shares_CP = spread(shares_CG, self.given.shapes)
        return LawfulState(0, self.base.init(params_CP), torch.zeros_like(params_CP), shares_CP)

    def update(
        self, grads_CP: Tensor, state: LawfulState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, LawfulState]:
        """See `Optimizer`."""
        direction_CP, base = self.base.update(grads_CP, state.base, params_CP, donate=donate)
        rate_C1, kept_C1 = self._numbers(state.steps)
        updates_CP = rate_C1 * state.shares_CP * direction_CP + (kept_C1 - 1) * params_CP
        return updates_CP, state._replace(steps=state.steps + 1, base=base)

    def advance(self, grads_CP: Tensor, state: LawfulState, params_CP: Tensor) -> LawfulState:
        """See `Optimizer`. The direction does not read the params, so it moves a zero instead of these."""
        state.moved_CP.zero_()
        base = self.base.advance(grads_CP, state.base, state.moved_CP)
        rate_C1, kept_C1 = self._numbers(state.steps)
        params_CP.mul_(kept_C1).addcmul_(state.moved_CP.mul_(rate_C1), state.shares_CP)
        return state._replace(steps=state.steps + 1, base=base)

    def evaluated(self, params_CP: Tensor, state: LawfulState) -> Tensor:
        """See `Optimizer`."""
        return params_CP

    def _numbers(self, steps: int) -> tuple[Tensor, Tensor]:
        """[C, 1] the rate, and what is left of the params by decay."""
        rate_C = self.given.lr_C * self.law.rate(steps + 1, self.given.horizon)
        if self.factor is not None:
            rate_C = rate_C * self.factor(steps)
        rate_C1 = rate_C[:, None]
        return rate_C1, 1 - rate_C1 * self.law.decay()[:, None]
