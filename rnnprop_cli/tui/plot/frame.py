"""One picture of a plot: axes, grid, bands, lines, letters, as character codes and colour roles.

Colours are roles here; a palette gives them values later (`paint`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnnprop_cli.tui.plot.canvas import (
    ASCII_SIGNS,
    UNICODE_SIGNS,
    Canvas,
    PlotArea,
    Role,
    Signs,
    line_role,
    one_cell,
)
from rnnprop_cli.tui.plot.labels import spread, without_overlap
from rnnprop_cli.tui.plot.palette import line_pattern
from rnnprop_cli.tui.plot.raster import BLANK, Charset, IntArray, Raster
from rnnprop_cli.tui.plot.scale import Axis, AxisKind, Tick, fit, format_number, ticks
from rnnprop_cli.tui.plot.series import PlotSeries, Trace, trace
from rnnprop_cli.view.curves.curve import FloatArray

_MIN_ROWS_FOR_X_AXIS = 3
_MIN_COLUMNS_FOR_Y_AXIS = 16
_MIN_COLUMNS_FOR_LETTERS = 6
_MIN_COLUMNS_FOR_WIDE_LETTERS = 24  # from here on a blank column sets the letters apart
_ROWS_PER_TICK = 3
_SHORT_OF_THE_EDGE = 3  # a line ending more columns than this before the edge has its letter beside its end
_MARKED_STRETCH = (
    0.25  # how far, in spans of the others, a series with an end marker may stretch a linear y axis
)
_MARKED_DECADES = 1.0  # and a log one


@dataclass(frozen=True)
class Frame:
    """A finished picture. Arrays are rows x columns; roles of the character and of its ground."""

    codes: IntArray
    ink: IntArray
    ground: IntArray
    area: PlotArea
    x_axis: Axis
    y_axis: Axis


@dataclass(frozen=True)
class FrameOptions:
    charset: Charset = Charset.BRAILLE
    y_kind: AxisKind = "linear"
    bands: bool = True
    colorless: bool = False
    empty_text: str = "no data"

    @property
    def shows_bands(self) -> bool:
        """Without colour a band would be a line like any other."""
        return self.bands and not self.colorless

    @property
    def signs(self) -> Signs:
        return ASCII_SIGNS if self.charset is Charset.ASCII else UNICODE_SIGNS


def draw_frame(
    series: Sequence[PlotSeries], x_axis: Axis, columns: int, rows: int, options: FrameOptions
) -> Frame:
    """Draw series, the first on top, into ``columns`` x ``rows`` cells; any size from 0 x 0 will do."""
    canvas = Canvas(columns, rows)
    # The y axis has to be known before its labels leave a width for the traces: twice as many dots as columns
    # is never too few.
    traces = [trace(one, x_axis, 2 * max(columns, 1)) for one in series]
    shown = [one for one in traces if _in_view(one, x_axis)]
    y_axis = _y_axis(shown, x_axis, options)
    if not shown:
        canvas.centred(options.empty_text, Role.TEXT)
        return Frame(*canvas.arrays, PlotArea(0, columns, rows), x_axis, y_axis)
    area_rows = rows - 1 if rows >= _MIN_ROWS_FOR_X_AXIS else rows
    y_ticks = ticks(y_axis, max(area_rows // _ROWS_PER_TICK, 2))
    left = (
        max((len(tick.label) for tick in y_ticks), default=0) + 1 if columns >= _MIN_COLUMNS_FOR_Y_AXIS else 0
    )
    has_letters = any(one.letter for one in series) and columns >= _MIN_COLUMNS_FOR_LETTERS
    right = (2 if columns >= _MIN_COLUMNS_FOR_WIDE_LETTERS else 1) if has_letters else 0
    area = PlotArea(left, max(columns - left - right, 0), area_rows)
    raster = Raster(area.columns, area.rows, options.charset, merged=options.colorless)
    _draw_traces(raster, shown, x_axis, y_axis, options)
    canvas.put_cells(raster.cells(), area, [one.series.color_index for one in shown], options.charset)
    _draw_y_axis(canvas, raster, area, y_axis, y_ticks, options)
    if area_rows < rows:
        _draw_x_axis(canvas, raster, area, x_axis)
    _draw_ends(canvas, raster, area, [one.series for one in shown], x_axis, y_axis, options)
    return Frame(*canvas.arrays, area, x_axis, y_axis)


def with_crosshair(frame: Frame, x: float, options: FrameOptions) -> Frame:
    """The same picture with a vertical line at ``x`` and its value below; unchanged if that is out of view."""
    column = column_at(frame, x)
    if column is None:
        return frame
    canvas = Canvas.over(frame.codes, frame.ink, frame.ground)
    at = frame.area.left + column
    rows = slice(0, frame.area.rows)
    is_free = (canvas.codes[rows, at] == BLANK) | (canvas.ink[rows, at] == Role.GRID)
    canvas.codes[rows, at] = np.where(is_free, ord(options.signs.crosshair), canvas.codes[rows, at])
    canvas.ink[rows, at] = np.where(is_free, Role.ACCENT, canvas.ink[rows, at])
    if frame.codes.shape[0] > frame.area.rows:
        label = f" @{format_number(x, 6)} "
        if len(label) <= frame.codes.shape[1]:
            start = min(max(at - len(label) // 2, 0), frame.codes.shape[1] - len(label))
            canvas.clear_words(frame.area.rows, start, start + len(label))
            canvas.text(frame.area.rows, start, label, Role.ACCENT)
    return replace(frame, codes=canvas.codes, ink=canvas.ink)


def column_at(frame: Frame, x: float) -> int | None:
    """The column of the plot area over ``x``, or None if it is out of view."""
    fraction = frame.x_axis.fraction(x)
    if not frame.area.columns or not -1e-9 <= fraction <= 1 + 1e-9:
        return None
    return min(int(max(fraction, 0.0) * frame.area.columns), frame.area.columns - 1)


def x_at(frame: Frame, column: int) -> float:
    """The x in the middle of a column of the plot area."""
    return frame.x_axis.value((column + 0.5) / max(frame.area.columns, 1))


def _in_view(one: Trace, x_axis: Axis) -> bool:
    inside = (one.x >= x_axis.low) & (one.x <= x_axis.high) & ~np.isnan(one.y)
    if inside.any():
        return True
    # Two points on either side of a deep zoom: the line between them is in view.
    return one.x.size > 1 and one.x[0] < x_axis.low and one.x[-1] > x_axis.high and not np.isnan(one.y).any()


def _y_axis(shown: Sequence[Trace], x_axis: Axis, options: FrameOptions) -> Axis:
    """The axis that holds what is in view; diverged series stretch it only so far."""
    values = [(_visible_values(one, x_axis, options), one.series) for one in shown]
    marked = [part for part, series in values if series.end_marker or series.diverged]
    plain = [part for part, series in values if not (series.end_marker or series.diverged)]
    if not marked or not any(part.size for part in plain):
        return fit(np.concatenate([part for part, _ in values]) if values else [], options.y_kind)
    axis = fit(np.concatenate(plain), options.y_kind)
    if axis.kind == "linear":
        margin = _MARKED_STRETCH * (axis.high - axis.low)
        bounds = (axis.low - margin, axis.high + margin)
    else:
        bounds = (axis.low / 10**_MARKED_DECADES, axis.high * 10**_MARKED_DECADES)
    return fit(np.concatenate([*plain, *(np.clip(part, *bounds) for part in marked)]), options.y_kind)


def _visible_values(one: Trace, x_axis: Axis, options: FrameOptions) -> FloatArray:
    inside = (one.x >= x_axis.low) & (one.x <= x_axis.high)
    if not inside.any():
        inside = np.ones_like(inside)
    rows = [one.y[inside]]
    if options.shows_bands and one.low is not None and one.high is not None:
        rows += [one.low[inside], one.high[inside]]
    values = np.concatenate(rows)
    values = values[np.isfinite(values)]
    return values[values > 0] if options.y_kind == "log" else values


def _draw_traces(
    raster: Raster, shown: Sequence[Trace], x_axis: Axis, y_axis: Axis, options: FrameOptions
) -> None:
    fractions = [x_axis.fractions(one.x) for one in shown]
    owners = range(len(shown))
    if options.shows_bands:
        for owner, one, x in reversed(list(zip(owners, shown, fractions, strict=True))):
            if one.low is not None and one.high is not None:
                raster.band(x, y_axis.fractions(one.low), y_axis.fractions(one.high), owner)
    for owner, one, x in reversed(list(zip(owners, shown, fractions, strict=True))):
        series = one.series
        pattern = line_pattern(series.color_index, dashed=series.dashed, colorless=options.colorless)
        heavy = series.dashed and options.colorless
        raster.line(x, y_axis.fractions(one.y), owner, pattern, heavy=heavy)


def _draw_y_axis(
    canvas: Canvas,
    raster: Raster,
    area: PlotArea,
    y_axis: Axis,
    y_ticks: Sequence[Tick],
    options: FrameOptions,
) -> None:
    rows_taken: set[int] = set()
    if area.left:
        canvas.codes[: area.rows, area.left - 1] = ord(options.signs.axis)
        canvas.ink[: area.rows, area.left - 1] = Role.MUTED
    for tick in y_ticks:
        row = raster.row_of(y_axis.fraction(tick.value))
        if row in rows_taken or row >= area.rows:
            continue
        rows_taken.add(row)
        canvas.grid(row, area, options.signs.grid)
        if area.left:
            canvas.text(row, 0, tick.label.rjust(area.left - 1), Role.TEXT)
            canvas.text(row, area.left - 1, options.signs.tick, Role.MUTED)


def _draw_x_axis(canvas: Canvas, raster: Raster, area: PlotArea, x_axis: Axis) -> None:
    if not area.columns:
        return
    widest = max(len(format_number(value, 6)) for value in (x_axis.low, x_axis.high))
    marks = ticks(x_axis, max(area.columns // (min(widest, 9) + 4), 2))
    centres = [(area.left + raster.column_of(x_axis.fraction(mark.value)), mark.label) for mark in marks]
    for start, label in without_overlap(centres, canvas.columns):
        canvas.text(area.rows, start, label, Role.TEXT)


def _draw_ends(
    canvas: Canvas,
    raster: Raster,
    area: PlotArea,
    shown: Sequence[PlotSeries],
    x_axis: Axis,
    y_axis: Axis,
    options: FrameOptions,
) -> None:
    """Markers where lines end, and letters: in the right margin, or beside an end well short of the edge."""
    in_margin: list[tuple[float, PlotSeries]] = []
    beside: list[tuple[int, int, PlotSeries]] = []
    for series in shown:
        end, seen = series.end(), series.end(until=x_axis.high)
        if end is None or seen is None:
            continue
        row, column = raster.row_of(y_axis.fraction(seen[1])), raster.column_of(x_axis.fraction(end[0]))
        marker = series.end_marker or (options.signs.diverged if series.diverged else "")
        if marker and 0 <= column < area.columns:
            sign = one_cell(marker, options.charset)
            canvas.text(row, area.left + column, sign, line_role(series.color_index))
        if not series.letter:
            continue
        if 0 <= column < area.columns - _SHORT_OF_THE_EDGE:
            beside.append((row, column, series))
        else:
            height = min(max(y_axis.fraction(seen[1]), 0.0), 1.0)
            in_margin.append(((1.0 - height) * (area.rows - 1), series))
    _draw_letters(canvas, area, in_margin, beside, options)


def _draw_letters(
    canvas: Canvas,
    area: PlotArea,
    in_margin: Sequence[tuple[float, PlotSeries]],
    beside: Sequence[tuple[int, int, PlotSeries]],
    options: FrameOptions,
) -> None:
    """Each letter as near to its line's end as the others allow."""
    if canvas.columns > area.left + area.columns:
        rows = spread([row for row, _ in in_margin], area.rows)
        for free_row, (_, series) in zip(rows, in_margin, strict=True):
            if free_row is not None:
                letter = one_cell(series.letter, options.charset)
                canvas.text(free_row, canvas.columns - 1, letter, line_role(series.color_index))
    taken: set[tuple[int, int]] = set()
    for row, column, series in beside:
        nearest_first = sorted(range(area.rows), key=lambda candidate: abs(candidate - row))
        place = next((free for free in nearest_first if (free, column) not in taken), None)
        if place is not None:
            taken |= {(place, column + shift) for shift in (-1, 0, 1)}
            letter = one_cell(series.letter, options.charset)
            canvas.text(place, area.left + column + 1, letter, line_role(series.color_index))
