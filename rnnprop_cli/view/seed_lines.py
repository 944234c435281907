"""The curves of a group of seeds joined to what a plot draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnprop_cli.records import Status
from rnnprop_cli.view.curves import Band, BandKind, Curve, band_over_seeds, smooth


@dataclass(frozen=True)
class LineStyle:
    """How curves of several seeds become one line."""

    band: BandKind | None = "iqr"  # None: the median alone
    decay: float = 0.9  # of the moving average in log space; 0: none


def line_over_seeds(
    curves: Sequence[Curve], statuses: Sequence[Status], horizon: int, style: LineStyle
) -> Curve | Band:
    """The median over seeds, with the band that is wanted.

    A diverged seed counts as infinitely bad from where it stopped to the horizon. Smoothing is of the middle line
    only: the band shows what was measured.
    """
    rows = [
        curve.diverged_until(horizon - 1) if status == "diverged" else curve
        for curve, status in zip(curves, statuses, strict=True)
        if len(curve)
    ]
    if not rows:
        return Curve(np.zeros(0), np.zeros(0))
    if len(rows) == 1:
        return smooth(rows[0], style.decay)
    band = band_over_seeds(rows, style.band or "iqr")
    middle = smooth(band.median, style.decay)
    if style.band is None:
        return middle
    return Band(band.steps, band.low, middle.values, band.high, band.count)
