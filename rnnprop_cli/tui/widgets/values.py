"""The values under a plot's crosshair: one line where there is little room, else a table."""

import math
from collections.abc import Sequence

from rnnprop_cli.tui.plot import Palette, Reading
from rnnprop_cli.tui.run_rows import short_loss, short_percent
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.lines import Line


def value_lines(
    what: str,
    readings: Sequence[Reading],
    step: float | None,
    reference: str | None,
    palette: Palette,
    columns: int,
    rows: int,
) -> list[Line]:
    """Readings as lines.

    Args:
        what: of what they are the loss: that of the last batch is not the final loss, which is over all of the data.
        readings: what is shown, best first in the plot's order.
        step: where the crosshair is; None: these are the last values.
        reference: label of the series that the others are compared with.
        palette: the plot's colours.
        columns, rows: the space.
    """
    at = "" if step is None else f"@{step:,.6g}" if step != int(step) else f"@{step:,.0f}"
    where = " ".join(filter(None, ("" if at else "last", what, at)))
    readings = sorted(
        readings, key=lambda one: (one.letter.swapcase(), one.label)
    )  # small letters come first
    base = next((one.value for one in readings if one.label == reference), math.nan)
    if rows > 3:
        return _table(readings, where, base, reference, palette, columns, rows)
    lines: list[list[Part]] = [[Part(f" {where} ", palette.accent, bold=True)]]
    used = len(where) + 2
    for one in readings:
        name = one.letter or one.label
        text = f"{name} {_number(one.value)}"
        # without a crosshair the table's final losses say it better
        if at and one.label != reference and math.isfinite(base) and math.isfinite(one.value) and base > 0:
            text += f" {_change(one.value, base)}"
        if one.label == reference:
            text += "*"
        text += "  "
        if used + len(text) > columns:
            if len(lines) == rows:
                lines[-1].append(Part("…"))
                break
            lines.append([Part(" ")])
            used = 1
        lines[-1].append(Part(text, palette.series_color(one.color_index)))
        used += len(text)
    return list(lines)


def _table(
    readings: Sequence[Reading],
    where: str,
    base: float,
    reference: str | None,
    palette: Palette,
    columns: int,
    rows: int,
) -> list[Line]:
    width = max((len(one.label) for one in readings), default=8)
    width = min(max(width, len(where) + 1), max(columns - 50, 12))
    banded = any(math.isfinite(one.low) for one in readings)
    heading = f"   {where:<{width}} {'value':>9}"
    heading += f"  {'band over seeds':^23}" if banded else ""
    heading += f" {'to best':>9}" if math.isfinite(base) else ""
    lines: list[Line] = [[Part(heading[:columns], palette.muted)]]
    for one in readings[: rows - 1]:
        color = palette.series_color(one.color_index)
        band = f"{_number(one.low):>9} … {_number(one.high):<9}" if math.isfinite(one.low) else ""
        change = ""
        if one.label == reference:
            change = "best"
        elif math.isfinite(base) and math.isfinite(one.value) and base > 0:
            change = _change(one.value, base)
        text = f" {one.label[:width]:<{width}} {_number(one.value):>9}"
        text += f"  {band:^23}" if banded else ""
        text += f" {change:>9}"
        lines.append([Part(f" {one.letter or ' '}", color, bold=True), Part(text[: columns - 2], color)])
    if len(readings) > rows - 1:
        lines[-1] = [Part(f"   … and {len(readings) - rows + 2} more", palette.muted)]
    return lines


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    return short_loss(value)


def _change(value: float, base: float) -> str:
    text = short_percent(100 * (value / base - 1))
    return text if text.startswith("x") else text + "%"
