"""When a trajectory counts as diverged. Diverging is a result, not an error.

Shape legend: T steps, C cells.
"""

import numpy as np
from numpy.typing import NDArray


def first_bad_steps(losses_TC: NDArray[np.float32]) -> list[int | None]:
    """For every cell the first step whose loss is not finite, None where there is none."""
    bad_TC = ~np.isfinite(losses_TC)
    first_C: list[int] = bad_TC.argmax(0).tolist()
    bad_C: list[bool] = np.any(bad_TC, axis=0).tolist()
    return [step if bad else None for step, bad in zip(first_C, bad_C, strict=True)]
