"""When a trajectory counts as diverged. Diverging is a result, not an error.

Shape legend: T steps, C cells.
"""

import numpy as np
from numpy.typing import NDArray


class FirstBadSteps:
    """For every cell the first step whose loss is not finite, from losses that come in blocks."""

    def __init__(self, n_cells: int) -> None:
        self.steps: list[int | None] = [None] * n_cells
        self._next = 0

    def add(self, losses_TC: NDArray[np.float32]) -> None:
        """Takes the next losses of all cells."""
        bad_TC = ~np.isfinite(losses_TC)
        first_C: list[int] = bad_TC.argmax(0).tolist()
        bad_C: list[bool] = np.any(bad_TC, axis=0).tolist()
        for cell, bad in enumerate(bad_C):
            if bad and self.steps[cell] is None:
                self.steps[cell] = self._next + first_C[cell]
        self._next += len(losses_TC)
