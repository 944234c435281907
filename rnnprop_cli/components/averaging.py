"""Averages of iterates in place of short steps, after Schedule-Free (Defazio et al. 2024), for runs whose end is known.

Steps are taken from z, x is the average of all z so far, and gradients are taken, and losses measured, between them:

    z <- z + step;  x <- (1 - c_t) x + c_t z, c_t = (1 + p) / (t + p);  y <- b_t x + (1 - b_t) z

The params are y. b_t is constant but for the last share of the run, in which it goes linearly to 1: so the run ends at
the average itself, and nobody has to switch to it.

Shape legend: C cells, P coordinates, K numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

NUMBERS: Final = (
    "place",  # logit of the share of the average in the point where gradients are taken
    "recency",  # logarithm of p: the later iterates count the more, the larger it is
    "landing",  # logit of the share of the run in which that point goes to the average
)


class Shares(NamedTuple):
    """What one step averages with, [C] or [C, 1] each."""

    before: Tensor  # share of the average in the params before the step
    newest: Tensor  # share of the new iterate in the average
    after: Tensor  # share of the average in the params after the step


class Averaging(NamedTuple):
    """The numbers of an averaging, one for each cell."""

    place_C: Tensor
    recency_C: Tensor
    landing_C: Tensor

    @classmethod
    def of(cls, numbers_CK: Tensor) -> Averaging:
        """From [C, K], or [K] for all cells alike."""
        return cls(*numbers_CK.unbind(-1))

    def expanded(self, cells: int) -> Averaging:
        """One for each of so many cells."""
        return Averaging(*(each.expand(cells) for each in self))

    def shares(self, t: int, horizon: int | None) -> Shares:
        """[C] each, of step t = 1, 2, … of `horizon` steps, behind which nothing moves.

        None: the end is not known, and nothing lands.
        """
        p_C = self.recency_C.exp()
        newest_C = (1 + p_C) / (t + p_C) if horizon is None or t <= horizon else p_C * 0
        return Shares(self._place(t - 1, horizon), newest_C, self._place(t, horizon))

    def _place(self, steps: int, horizon: int | None) -> Tensor:
        """[C] share of the average in the params after so many steps."""
        place_C = self.place_C.sigmoid()
        if horizon is None:
            return place_C
        left_C = (max(0, horizon - steps) / (self.landing_C.sigmoid() * horizon)).clamp(max=1)
        return 1 - (1 - place_C) * left_C


def averaged(params_CP: Tensor, z_CP: Tensor, step_CP: Tensor, shares: Shares) -> tuple[Tensor, Tensor]:
    """[C, P] the next params and z; the shares are [C, 1]."""
    x_CP = z_CP + (params_CP - z_CP) / shares.before
    z_CP = z_CP + step_CP
    x_CP = x_CP + shares.newest * (z_CP - x_CP)
    return z_CP + shares.after * (x_CP - z_CP), z_CP


def average_in_place(params_CP: Tensor, z_CP: Tensor, step_CP: Tensor, shares: Shares) -> None:
    """As `averaged`, into the params and z; the step is overwritten."""
    params_CP.sub_(z_CP).div_(shares.before).add_(z_CP)  # x
    z_CP.add_(step_CP)
    difference_CP = step_CP.copy_(z_CP).sub_(params_CP)  # from the average before
    params_CP.addcmul_(difference_CP, shares.newest)
    difference_CP.copy_(params_CP).sub_(z_CP).mul_(shares.after)
    params_CP.copy_(z_CP).add_(difference_CP)
