"""Loss curves in flat memory: short ones whole, long ones in bins with their mean, minimum and maximum.

Bins are 2^n steps wide and aligned to step 0, so a curve looks the same however often it was flushed.

Shape legend: T steps, C cells, B bins.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnnprop_cli.records import LOSS, LOSS_MAX, LOSS_MIN, CurveBlock


def bin_steps(horizon: int, points: int) -> int:
    """Steps per bin, a power of two, so that a curve of `horizon` steps has at most `points` bins."""
    width = 1
    while -(-horizon // width) > points:
        width *= 2
    return width


class Thinner:
    """Takes the losses of all cells as they come, and gives them back as blocks of whole bins.

    Args:
        keys: of the cells.
        horizon: steps of every cell.
        points: most bins of a curve.
    """

    def __init__(self, keys: Sequence[str], horizon: int, points: int) -> None:
        self.keys = keys
        self.width = bin_steps(horizon, points)
        self._next = 0  # first step that has not been given back
        self._rest_TC = np.empty((0, len(keys)), dtype=np.float32)

    def add(self, losses_TC: NDArray[np.float32], *, last: bool) -> tuple[CurveBlock, ...]:
        """The bins that are complete now; with `last` also one that never will be."""
        waiting_TC = np.concatenate([self._rest_TC, losses_TC])
        whole = len(waiting_TC) if last else len(waiting_TC) // self.width * self.width
        ready_TC, self._rest_TC = waiting_TC[:whole], waiting_TC[whole:]
        if not whole:
            return ()
        first, self._next = self._next, self._next + whole
        if self.width == 1:
            return self._blocks(LOSS, first, ready_TC)
        starts = np.arange(0, whole, self.width)
        count_B1 = np.diff(np.append(starts, whole))[:, None]
        with np.errstate(all="ignore"):  # a diverged cell's infinities are results
            mean_BC = (np.add.reduceat(ready_TC.astype(np.float64), starts) / count_B1).astype(np.float32)
        return (
            *self._blocks(LOSS, first, mean_BC),
            *self._blocks(LOSS_MIN, first, np.minimum.reduceat(ready_TC, starts)),
            *self._blocks(LOSS_MAX, first, np.maximum.reduceat(ready_TC, starts)),
        )

    def _blocks(self, metric: str, first: int, values_BC: NDArray[np.float32]) -> tuple[CurveBlock, ...]:
        return tuple(
            CurveBlock(key, metric, first, np.ascontiguousarray(values_BC[:, cell]), self.width)
            for cell, key in enumerate(self.keys)
        )
