"""The paper's kinds of figures as plain values; `plots` draws them with matplotlib, `html_figure` as inline SVG.

They are made in `loss_figures` (curves) and `summary_figures` (everything that the rows alone can tell).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from rnnprop_cli.view.curves.curve import FloatArray
from rnnprop_cli.view.figures.styles import Style, styles_of
from rnnprop_cli.view.table.rows import Problem
from rnnprop_cli.view.table.seed_groups import Summary

Scale = Literal["linear", "log"]
BEST: Final = "*, heavy: the best tuned baseline."  # for captions
_HEAVY: Final = 1.9


@dataclass(frozen=True, eq=False)
class Line:
    """One optimizer: a middle line, and an interval or band where there is one. Infinite: diverged."""

    label: str
    style: Style
    x: FloatArray
    middle: FloatArray
    low: FloatArray
    high: FloatArray
    level: bool = False  # does not depend on x: drawn from edge to edge
    marked: bool = False  # with a marker at every point
    steps: bool = False  # a step function
    is_best: bool = False  # the best tuned baseline of the problem

    @property
    def width(self) -> float:
        """Of its stroke, where 1 is usual: the best baseline is heavy, so that it is seen without colour too."""
        return self.style.width * (_HEAVY if self.is_best else 1.0)

    @property
    def name(self) -> str:
        """What the legend calls it; marked as in the tables."""
        return f"{self.label} *" if self.is_best else self.label


@dataclass(frozen=True, eq=False)
class Figure:
    """Everything that a picture says, but for its looks."""

    name: str  # of its file, without an ending
    problem: Problem | None  # None: it is about several
    title: str
    caption: str
    x_label: str
    y_label: str
    x_scale: Scale
    y_scale: Scale
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    lines: tuple[Line, ...]
    reference: tuple[float, str] | None = None  # a level line with a name
    x_ticks: tuple[float, ...] = ()  # where the x axis has its marks; empty: at round numbers


LOWEST: Final = 1e-16  # anything lower is drawn there: a loss that is zero has no place on a logarithmic axis


def line(label: str, style: Style, x: ArrayLike, middle: ArrayLike, low: ArrayLike, high: ArrayLike) -> Line:
    """A line from anything that is like an array."""
    values = [np.maximum(np.asarray(column, dtype=np.float64), LOWEST) for column in (middle, low, high)]
    return Line(label, style, np.asarray(x, dtype=np.float64), values[0], values[1], values[2])


def optimizer_styles(summary: Summary) -> dict[str, Style]:
    """The style of every optimizer of a benchmark, the same in all of its figures."""
    return styles_of((row.optimizer, row.is_baseline) for row in summary.rows)


def with_distinct_names(figures: Iterable[Figure]) -> list[Figure]:
    """Figures whose names differ, also where file names ignore upper and lower case."""
    seen: set[str] = set()
    distinct = []
    for figure in figures:
        name, number = figure.name, 2
        while name in seen:
            name, number = f"{figure.name}-{number}", number + 1
        seen.add(name)
        distinct.append(replace(figure, name=name))
    return distinct


def slug(*parts: object) -> str:
    """A file name from words, e.g. "loss-mnist-mlp-sigmoid-d1-x100"."""
    words = "-".join(str(part) for part in parts if part not in (None, ""))
    return re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-.") or "figure"


def problem_slug(kind: str, problem: Problem) -> str:
    """The file name of a figure about one problem."""
    depth = None if problem.depth is None else f"d{problem.depth}"
    return slug(kind, problem.dataset, problem.network, depth, f"x{problem.horizon}")


def y_range(lines: Sequence[Line], ceiling: float, shown: float = 0.0) -> tuple[float, float]:
    """Limits of a logarithmic axis around the middle lines, and around their intervals as far as these are short.

    Args:
        lines: what is drawn.
        ceiling: the axis ends at this multiple of the lowest middle value, whatever lies beyond.
        shown: it always reaches up to this value.
    """
    middles = np.concatenate([one.middle for one in lines])
    middles = middles[np.isfinite(middles)]
    if not middles.size:
        return 0.1, 10.0
    lowest, highest = float(middles.min()), float(middles.max())
    ends = np.concatenate([end for one in lines for end in (one.low, one.high)])
    ends = ends[(ends > lowest / 2) & (ends < highest * 2)]  # false for NaN too
    low, high = min(lowest, *ends.tolist()), max(highest, *ends.tolist())
    return low / 1.2, max(min(high, lowest * ceiling), shown, lowest * 1.2) * 1.12
