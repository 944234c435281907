"""Which stretch of x is in view: all of it, a zoomed window, or a window that follows the live end."""

import math
from collections.abc import Iterable

from rnnprop_cli.tui.plot.scale import Axis, AxisKind, nice_step
from rnnprop_cli.tui.plot.series import PlotSeries, x_extent
from rnnprop_cli.view.curves.curve import bin_width

_LEAST_SHARE = 1e-6  # of the whole axis; no zoom goes deeper
_ROUNDING = 0.01  # at most this share of the axis is left empty so that it ends on a round number
_LIVE_STEPS = 64  # under follow the end of the axis moves in jumps of about this share of it


class View:
    """A window on the x axis, kept in data units so that new data do not move it."""

    def __init__(self) -> None:
        self._window: tuple[float, float] | None = None

    @property
    def is_zoomed(self) -> bool:
        return self._window is not None

    def reset(self) -> None:
        self._window = None

    def axis(self, series: Iterable[PlotSeries], *, log: bool, x_max: float | None, follow: bool) -> Axis:
        """The axis in view.

        Under ``follow`` its right end runs ahead of the data in jumps of whole bins, so the picture stands
        still between jumps instead of creeping with every point; a zoomed window keeps its width and comes
        along.
        """
        kind: AxisKind = "log" if log else "linear"
        low, high = x_extent(series, positive=log) or ((0.1, 1.0) if log else (0.0, 1.0))
        if x_max is not None and x_max > low:
            live_end = high
            high = max(high, x_max)
        else:
            if not log:
                high = _next_jump(low, high) if follow else _next_round(low, high)
            live_end = high
        if low >= high:
            low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
        if self._window is None:
            return Axis(low, high, kind)
        start, end = self._window
        if follow and not log:
            width = end - start
            end = _next_jump(live_end - width, live_end) if x_max is not None else live_end
            start = end - width
        return Axis(start, end, kind)

    def zoom(self, shown: Axis, factor: float, centre: float, whole: Axis) -> None:
        """Show ``1 / factor`` of what is shown, with the point at fraction ``centre`` kept in place."""
        start, end = centre - centre / factor, centre + (1 - centre) / factor
        self._keep(shown.part(start, end), whole)

    def pan(self, shown: Axis, share: float, whole: Axis) -> None:
        """Move by a share of what is shown, no further than the ends of the axis."""
        start, end = (whole.fraction(shown.value(share)), whole.fraction(shown.value(1 + share)))
        back = max(0.0, end - 1.0) if share > 0 else min(0.0, start)
        self._keep(whole.part(start - back, end - back), whole)

    def _keep(self, wanted: Axis, whole: Axis) -> None:
        start, end = whole.fraction(wanted.low), whole.fraction(wanted.high)
        if end - start >= 1 - 1e-9 or not (math.isfinite(start) and math.isfinite(end)):
            self._window = None
            return
        if end - start < _LEAST_SHARE:
            return
        start = min(max(start, 0.0), 1.0 - (end - start))
        part = whole.part(start, start + whole.fraction(wanted.high) - whole.fraction(wanted.low))
        self._window = (part.low, part.high)


def _next_round(low: float, high: float) -> float:
    """``high``, or a rounder number just above: the last of 10,000 steps is step 9,999."""
    step = nice_step((high - low) * _ROUNDING) / 2 if high > low else 1.0
    return math.ceil(high / step) * step


def _next_jump(low: float, high: float) -> float:
    """``high`` rounded up to a whole bin of about 1/64 of the span."""
    width = bin_width(high - low, _LIVE_STEPS)
    return math.ceil(high / width) * float(width)
