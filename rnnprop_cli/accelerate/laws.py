"""A direction under a horizon law, with the direction as fast as it is without.

Shape legend: C cells, P coordinates, G tensors, K numbers of the law, Q meta-params.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.components.averaging import Shares, average_in_place
from rnnprop_cli.components.law import NetworkShape, initial_sizes, spread
from rnnprop_cli.components.learned.law import Parts
from rnnprop_cli.components.optimizers.base import Given, Optimizer


class LawfulState(NamedTuple):
    """State of a direction under a law."""

    steps: int  # done
    base: Any  # the direction's
    moved_CP: Tensor  # [C, P] memory for the direction
    shares_CP: Tensor  # [C, P] what it is multiplied with, coordinate by coordinate
    z_CP: Tensor | None  # [C, P] the iterates, where they are averaged


class Numbers(NamedTuple):
    """Of one step, [C, 1] each."""

    rate: Tensor
    decay: Tensor  # times the rate
    shares: Shares | None  # of the averages


class LawfulNumbers:
    """A law, with averages or without, in use.

    Args:
        parts: the numbers of every cell, or of all.
        given: factors of the law, horizon and shapes.
        factor: schedule of the factor, from the steps done; None: none.
    """

    def __init__(self, parts: Parts, given: Given, factor: Callable[[int], float] | None = None) -> None:
        self.given, self.factor = given, factor
        cells = len(given.lr_C)
        self.law = parts.law.expanded(cells)
        self.averaging = None if parts.averaging is None else parts.averaging.expanded(cells)

    def lengths(self, params_CP: Tensor) -> Tensor:
        """[C, G] what the steps of every tensor are multiplied with."""
        shapes = self.given.shapes
        return self.law.shares(initial_sizes(params_CP, shapes), NetworkShape.of(shapes, self.given.fan_ins))

    def at(self, steps: int) -> Numbers:
        """Of the step after so many."""
        rate_C = self.given.lr_C * self.law.rate(steps + 1, self.given.horizon)
        if self.factor is not None:
            rate_C = rate_C * self.factor(steps)
        shares = None
        if self.averaging is not None:
            shares = Shares(
                *(share_C[:, None] for share_C in self.averaging.shares(steps + 1, self.given.horizon))
            )
        decay_C = self.law.decay(steps + 1, self.given.horizon)
        return Numbers(rate_C[:, None], (rate_C * decay_C)[:, None], shares)


class LawfulOptimizer:
    """What `LawRule` defines, for use (no graph).

    Args:
        base: the direction, at a rate of one; it does not read the params.
        numbers: the law.
    """

    def __init__(self, base: Optimizer[Any], numbers: LawfulNumbers) -> None:
        self.base, self.numbers = base, numbers

    def init(self, params_CP: Tensor) -> LawfulState:
        """See `Optimizer`."""
        shares_CP = spread(self.numbers.lengths(params_CP), self.numbers.given.shapes)
        z_CP = None if self.numbers.averaging is None else params_CP.clone()
        return LawfulState(0, self.base.init(params_CP), torch.zeros_like(params_CP), shares_CP, z_CP)

    def update(
        self, grads_CP: Tensor, state: LawfulState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, LawfulState]:
        """See `Optimizer`."""
        direction_CP, base = self.base.update(grads_CP, state.base, params_CP, donate=donate)
        after_CP, z_CP = params_CP.clone(), state.z_CP
        if z_CP is not None and not donate:
            z_CP = z_CP.clone()
        self._move(after_CP, z_CP, direction_CP.clone(), state)
        return after_CP.sub_(params_CP), state._replace(steps=state.steps + 1, base=base, z_CP=z_CP)

    def advance(self, grads_CP: Tensor, state: LawfulState, params_CP: Tensor) -> LawfulState:
        """See `Optimizer`. The direction does not read the params, so it moves a zero instead of these."""
        state.moved_CP.zero_()
        base = self.base.advance(grads_CP, state.base, state.moved_CP)
        self._move(params_CP, state.z_CP, state.moved_CP, state)
        return state._replace(steps=state.steps + 1, base=base)

    def evaluated(self, params_CP: Tensor, state: LawfulState) -> Tensor:
        """See `Optimizer`."""
        return params_CP

    def _move(self, params_CP: Tensor, z_CP: Tensor | None, direction_CP: Tensor, state: LawfulState) -> None:
        """Params and iterates to where the next gradient is taken; the direction is overwritten."""
        rate, decay, shares = self.numbers.at(state.steps)
        if z_CP is None or shares is None:
            params_CP.mul_(1 - decay).addcmul_(direction_CP.mul_(rate), state.shares_CP)
        else:
            step_CP = direction_CP.mul_(rate).mul_(state.shares_CP).addcmul_(params_CP, decay, value=-1)
            average_in_place(params_CP, z_CP, step_CP, shares)
