"""One `Figure` as a matplotlib figure. No pyplot: nothing global, nothing to close, no display needed."""

from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from rnnprop_cli.view.figures.figure import Figure, Line
from rnnprop_cli.view.figures.ticks import linear_ticks, log_ticks, tick_text
from rnnprop_cli.view.safe_text import safe_text

LOOKS: Final[dict[Any, Any]] = {
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.0,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "svg.hashsalt": "rnnprop",  # ids in the file, and so its bytes, are the same every time
    "svg.fonttype": "path",
}
_WIDTH_IN: Final = 4.2
_AXES_HEIGHT_IN: Final = 2.5
_LEGEND_ROW_IN: Final = 0.16
_LEGEND_COLUMNS: Final = 4
_LEGEND_HANDLE_IN: Final = 0.56  # of an entry, without its text
_LEGEND_CHARACTER_IN: Final = 0.058
_BAND_ALPHA: Final = 0.16
_WHISKER_ALPHA: Final = 0.5


def draw(figure: Figure) -> Canvas:
    """Draw a figure; call it, and save what it returns, inside `matplotlib.rc_context(LOOKS)`."""
    longest = max((len(one.name) for one in figure.lines), default=0)
    fitting = int(_WIDTH_IN / (_LEGEND_HANDLE_IN + longest * _LEGEND_CHARACTER_IN))
    columns = max(1, min(_LEGEND_COLUMNS, len(figure.lines), fitting))
    legend_rows = -(-len(figure.lines) // columns)
    canvas = Canvas(figsize=(_WIDTH_IN, _AXES_HEIGHT_IN + legend_rows * _LEGEND_ROW_IN), layout="constrained")
    axes = canvas.add_subplot()
    axes.set_xscale(figure.x_scale)
    axes.set_yscale(figure.y_scale)
    axes.set_xlim(*figure.x_limits)
    axes.set_ylim(*figure.y_limits)
    _set_ticks(axes, figure)
    axes.set_title(_plain(figure.title), loc="left")
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    if figure.reference is not None:
        _draw_reference(axes, *figure.reference)
    for one in figure.lines:
        _draw_line(axes, one)
    _legend(canvas, figure.lines, columns)
    return canvas


def _draw_reference(axes: Axes, level: float, name: str) -> None:
    bottom, top = axes.get_ylim()
    if not bottom <= level <= top:
        return
    axes.axhline(level, color="#888888", linewidth=0.8, linestyle=(0, (1, 2)))
    axes.annotate(
        name,
        (1, level),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=6.5,
        color="#666666",
    )


def _set_ticks(axes: Axes, figure: Figure) -> None:
    for axis, scale, limits, wanted in (
        (axes.xaxis, figure.x_scale, figure.x_limits, figure.x_ticks),
        (axes.yaxis, figure.y_scale, figure.y_limits, ()),
    ):
        ticks = list(wanted) or (log_ticks(*limits) if scale == "log" else linear_ticks(*limits))
        axis.set_ticks(ticks, [tick_text(tick) for tick in ticks])
        axis.set_minor_locator(NullLocator())


def _draw_line(axes: Axes, one: Line) -> None:
    style = one.style
    bottom, top = axes.get_ylim()
    look: dict[str, Any] = {
        "color": style.light,
        "linewidth": mpl.rcParams["lines.linewidth"] * one.width,
        "linestyle": (0, style.dashes) if style.dashes else "-",
    }
    middle = np.where(np.isfinite(one.middle), one.middle, np.nan)
    low, high = np.clip(one.low, bottom, top * 2), np.clip(one.high, bottom, top * 2)
    if one.marked:
        shown = np.isfinite(middle)
        axes.vlines(
            one.x[shown], low[shown], high[shown], color=style.light, linewidth=0.9, alpha=_WHISKER_ALPHA
        )
        axes.plot(one.x, middle, marker=style.marker, **look)
    else:
        if np.isfinite(low).any():
            axes.fill_between(one.x, low, high, color=style.light, alpha=_BAND_ALPHA, linewidth=0)
        axes.plot(one.x, middle, drawstyle="steps-post" if one.steps else "default", **look)
    if one.marked or one.level:
        beyond = one.x[one.middle > top]  # diverged too
        at_top = np.full(beyond.size, top)
        (crosses,) = axes.plot(beyond, at_top, "x", color=style.light, markersize=4, clip_on=False, zorder=5)
        crosses.set_in_layout(False)


def _legend(canvas: Canvas, lines: Sequence[Line], columns: int) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=one.style.light,
            linewidth=mpl.rcParams["lines.linewidth"] * one.width,
            linestyle=(0, one.style.dashes) if one.style.dashes else "-",
            marker=one.style.marker if one.marked else "",
            label=_plain(one.name),
        )
        for one in lines
    ]
    canvas.legend(
        handles=handles, loc="outside lower center", ncols=columns, handlelength=3.2, columnspacing=1.2,
    )  # fmt: skip


def _plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return safe_text(text).replace("$", r"\$")
