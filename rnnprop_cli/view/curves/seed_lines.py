"""The curves of a group of seeds joined to what a plot draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnprop_cli.records import Status
from rnnprop_cli.view.curves.curve import Band, BandKind, Curve, band_over_seeds, smooth


@dataclass(frozen=True)
class LineStyle:
    """How curves of several seeds become one line."""

    band: BandKind | None = "iqr"  # None: the median alone
    smoothing: float = 0.02  # the moving average looks back over this share of the horizon; 0: none


def decay_over(points: float, share: float) -> float:
    """The decay of a moving average that looks back over a share of a curve's points: 1 - 1 / (share * points).

    A fixed decay would lag far behind a short curve, and leave a long one as noisy as it was.

    >>> decay_over(1000, 0.02)
    0.95
    """
    return 1 - 1 / max(share * points, 1.0)


def line_over_seeds(
    curves: Sequence[Curve], statuses: Sequence[Status], horizon: int, style: LineStyle
) -> Curve | Band:
    """The median over seeds, with the band that is wanted.

    A diverged seed counts as infinitely bad from where it stopped to the horizon. The edges of the band are smoothed as
    the middle is, so that the line never leaves its own band.
    """
    rows = [
        curve.diverged_until(horizon - 1) if status == "diverged" else curve
        for curve, status in zip(curves, statuses, strict=True)
        if len(curve)
    ]
    if not rows:
        return Curve(np.zeros(0), np.zeros(0))
    points = max(len(row) for row in rows)
    stride = rows[0].steps[1] - rows[0].steps[0] if points > 1 and len(rows[0]) > 1 else 1.0
    decay = decay_over(horizon / stride, style.smoothing)
    if len(rows) == 1:
        return smooth(rows[0], decay)
    band = band_over_seeds(rows, style.band or "iqr")
    middle = smooth(band.median, decay)
    if style.band is None:
        return middle
    low, high = (smooth(Curve(band.steps, edge), decay).values for edge in (band.low, band.high))
    # where an edge has steps without a logarithm, its average is over fewer than the middle's
    low, high = np.fmin(low, middle.values), np.fmax(high, middle.values)
    return Band(band.steps, low, middle.values, high, band.count)
