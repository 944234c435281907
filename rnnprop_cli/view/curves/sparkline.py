"""A curve in one line of text."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BARS = "▁▂▃▄▅▆▇█"
NOT_FINITE = "!"


def sparkline(values: NDArray[np.float64], width: int = 60) -> str:
    """The mean of each of up to `width` equal stretches as a bar; logarithmic if every value is positive.

    A stretch that holds a value which is not finite shows as `!`.

    >>> sparkline(np.array([1.0, 10.0, 100.0]))
    '▁▅█'
    """
    if not len(values):
        return ""
    usable = values[np.isfinite(values)]
    logarithmic = usable.size > 0 and bool((usable > 0).all())
    with np.errstate(divide="ignore", invalid="ignore"):
        heights = np.log(values) if logarithmic else values
    edges = np.linspace(0, len(values), min(width, len(values)) + 1).round().astype(int)
    means = [
        float(part.mean()) if np.isfinite(part).all() else None
        for part in (heights[start:end] for start, end in pairwise(edges))
    ]
    finite = [mean for mean in means if mean is not None]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(NOT_FINITE if m is None else BARS[int((m - low) * scale + 0.5)] for m in means)
