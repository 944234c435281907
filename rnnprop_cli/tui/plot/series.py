"""What a plot shows: one line, perhaps with a band, and how it wants to look."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from rnnprop_cli.tui.plot.scale import Axis
from rnnprop_cli.view.curves.curve import Band, Curve, FloatArray, bin_width, envelope

_POINTS_PER_DOT = 4  # with no more points than this to a dot column there is nothing to thin


@dataclass(frozen=True)
class Reading:
    """One series at the crosshair; NaN where it has no value (or no band)."""

    label: str
    letter: str
    color_index: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class PlotSeries:
    """One line of a plot.

    Args:
        label: the name; goes out with the values at the crosshair.
        letter: one character, drawn where the line ends; "" for none.
        x: strictly increasing and finite.
        y: as long as ``x``; NaN is a gap, infinity runs off the plot and, at the end, is marked.
        low, high: the band around the line, both or neither.
        dashed: draw as a baseline.
        color_index: which of the palette's colours, and which line pattern where there is no colour.
        end_marker: one character drawn at the last value, such as ``✗`` for a diverged run. A marked series
            does not stretch the y axis far beyond the unmarked ones.
    """

    label: str
    letter: str
    x: FloatArray
    y: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    dashed: bool = False
    color_index: int = 0
    end_marker: str | None = None

    def __post_init__(self) -> None:
        line = Curve(self.x, self.y)
        object.__setattr__(self, "x", line.steps)
        object.__setattr__(self, "y", line.values)
        if self.color_index < 0:
            raise ValueError(f"a colour index counts from 0, not {self.color_index}")
        if (self.low is None) != (self.high is None):
            raise ValueError("a band needs both low and high")
        for side in ("low", "high"):
            if (values := getattr(self, side)) is not None:
                object.__setattr__(self, side, Curve(self.x, values).values)

    @classmethod
    def of(
        cls,
        label: str,
        letter: str,
        curve: Curve | Band,
        *,
        dashed: bool = False,
        color_index: int = 0,
        end_marker: str | None = None,
    ) -> Self:
        """A series from a curve, or from a band (its median and its two edges)."""
        if isinstance(curve, Band):
            x, y, low, high = curve.steps, curve.middle, curve.low, curve.high
            return cls(label, letter, x, y, low, high, dashed, color_index, end_marker)
        return cls(label, letter, curve.steps, curve.values, None, None, dashed, color_index, end_marker)

    @property
    def diverged(self) -> bool:
        """Whether the line's last value is infinite."""
        present = self.y[~np.isnan(self.y)]
        return bool(present.size and np.isinf(present[-1]))

    def end(self, until: float = math.inf) -> tuple[float, float] | None:
        """Where the line ends: its last finite point or, if it diverged, the first infinite one after that.

        Args:
            until: leave out what lies beyond this x.
        """
        y = self.y[: int(np.searchsorted(self.x, until, "right"))]
        finite = np.flatnonzero(np.isfinite(y))
        if not finite.size:
            return None
        last = int(finite[-1])
        later = np.flatnonzero(np.isinf(y[last + 1 :]))
        if later.size:
            last += 1 + int(later[0])
        return float(self.x[last]), float(self.y[last])

    def values_at(self, x: float) -> tuple[float, float, float]:
        """Value, low and high held at ``x``; NaN where there is none."""
        value, low, high = (
            float("nan") if part is None else Curve(self.x, part).value_at(x)
            for part in (self.y, self.low, self.high)
        )
        return value, low, high


@dataclass(frozen=True, eq=False)
class Trace:
    """The part of a series that is in view, thinned to what the raster can show."""

    series: PlotSeries
    x: FloatArray
    y: FloatArray
    low: FloatArray | None
    high: FloatArray | None


def trace(series: PlotSeries, x_axis: Axis, dot_columns: int) -> Trace:
    """Cut and thin. One point on either side of the view is kept, so that lines run on to the edge."""
    first = max(int(np.searchsorted(series.x, x_axis.low, "left")) - 1, 0)
    stop = int(np.searchsorted(series.x, x_axis.high, "right")) + 1
    if x_axis.kind == "log":
        first = max(first, int(np.searchsorted(series.x, 0.0, "right")))
    x, y = series.x[first:stop], series.y[first:stop]
    low = None if series.low is None else series.low[first:stop]
    high = None if series.high is None else series.high[first:stop]
    width = bin_width(x_axis.high - x_axis.low, dot_columns)
    if x_axis.kind == "log" or width == 1 or x.size <= _POINTS_PER_DOT * dot_columns:
        return Trace(series, x, y, low, high)
    bins = envelope(Curve(x, y), width)
    line_x = np.repeat(bins.steps, 4)
    line_y = np.stack((bins.first, bins.low, bins.high, bins.last), axis=1).reshape(-1)
    if low is not None and high is not None:
        low = np.repeat(envelope(Curve(x, low), width).low, 4)
        high = np.repeat(envelope(Curve(x, high), width).high, 4)
    return Trace(series, line_x, line_y, low, high)


def nearest_x(series: Iterable[PlotSeries], x: float) -> float | None:
    """The recorded x nearest to ``x`` over all series."""
    found: list[float] = []
    for one in series:
        at = int(np.searchsorted(one.x, x))
        found.extend(one.x[max(at - 1, 0) : at + 1].tolist())
    return min(found, key=lambda candidate: abs(candidate - x), default=None)


def next_x(series: Iterable[PlotSeries], x: float, direction: int) -> float | None:
    """The next recorded x above (``direction`` > 0) or below ``x`` over all series."""
    found: list[float] = []
    for one in series:
        later = one.x[one.x > x][:1] if direction > 0 else one.x[one.x < x][-1:]
        found.extend(later.tolist())
    return (min if direction > 0 else max)(found, default=None)


def x_extent(series: Iterable[PlotSeries], *, positive: bool) -> tuple[float, float] | None:
    """The least and the greatest x (greater than 0, if ``positive``) of all series."""
    lows, highs = [], []
    for one in series:
        x = one.x[one.x > 0] if positive else one.x
        if x.size:
            lows.append(float(x[0]))
            highs.append(float(x[-1]))
    return (min(lows), max(highs)) if lows else None
