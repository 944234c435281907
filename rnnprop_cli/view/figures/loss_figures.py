"""Loss curves of every optimizer on one problem (the paper's Figures 2, 4, 5, 7, 8 and 9)."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.curves.curve import Curve, FloatArray, quantiles
from rnnprop_cli.view.curves.targets import LoadCurves
from rnnprop_cli.view.figures.figure import (
    Figure,
    Line,
    line,
    optimizer_styles,
    problem_slug,
    with_distinct_names,
    y_range,
)
from rnnprop_cli.view.figures.styles import Style
from rnnprop_cli.view.table.rows import Problem, Summary, SummaryRow

MOST_POINTS: Final = 125  # of a line; a longer curve is averaged over stretches of equal length
_CEILING: Final = 300.0
_QUARTILES: Final = (0.25, 0.5, 0.75)


def loss_figures(summary: Summary, runs: Sequence[RunInfo], load: LoadCurves) -> list[Figure]:
    """A figure for each problem; the curves of one problem are in memory at a time."""
    return with_distinct_names(_loss_figures(summary, runs, load))


def _loss_figures(summary: Summary, runs: Sequence[RunInfo], load: LoadCurves) -> Iterator[Figure]:
    styles = optimizer_styles(summary)
    by_row: dict[tuple[object, ...], list[RunInfo]] = {}
    for run in runs:
        f = run.facts
        if f.phase == "final" and run.result.status in ("done", "diverged"):
            problem = Problem(f.dataset, f.horizon, f.optimizee, f.depth, f.activation)
            by_row.setdefault((problem, f.optimizer, f.lr), []).append(run)
    for problem, rows in summary.problems:
        width = -(-problem.horizon // MOST_POINTS)
        lines = []
        for row in sorted(rows, key=lambda row: (row.is_baseline, row.optimizer)):
            if row.phase != "final":
                continue
            # pop: rows that differ in a setting alone are drawn once, together
            members = by_row.pop((problem, row.optimizer, row.learning_rate), [])
            if members:
                drawn = _line(row, styles[row.optimizer], members, load, width)
                lines += [drawn] if drawn is not None else []
        if lines:
            yield _figure(problem, lines, width)


def _line(
    row: SummaryRow, style: Style, runs: Sequence[RunInfo], load: LoadCurves, width: int
) -> Line | None:
    recorded = load([run.id for run in runs])
    averages = []
    for run in runs:
        steps, values = recorded.get(run.id, (np.zeros(0), np.zeros(0)))
        if len(steps):
            curve = Curve(steps.astype(np.float64), values)
            # A diverged run stops recording; without this it would drop out and leave the others looking better.
            whole = curve.diverged_until(row.horizon - 1) if run.result.status == "diverged" else curve
            averages.append(geometric_means(whole, row.horizon, width))
    if not averages:
        return None
    low, middle, high = quantiles(np.stack(averages), _QUARTILES)
    x = np.minimum(np.arange(middle.size) * width + (width - 1) / 2, row.horizon - 1)
    return line(row.optimizer, style, x, middle, low, high)


def geometric_means(curve: Curve, horizon: int, width: int) -> FloatArray:
    """The curve's geometric mean over each stretch of `width` steps up to `horizon`; infinite where it diverges.

    >>> geometric_means(Curve.of([1.0, 4.0, 3.0]), 3, 2).round(9).tolist()
    [2.0, 3.0]
    """
    bins = -(-horizon // width)
    padded = np.full(bins * width, np.nan)
    padded[:horizon] = curve.at(np.arange(horizon))
    logs = np.log(np.maximum(padded, np.finfo(np.float64).tiny)).reshape(bins, width)
    counts = np.sum(~np.isnan(logs), axis=1)
    totals = np.nansum(logs, axis=1)
    means: FloatArray = np.where(counts > 0, np.exp(totals / np.maximum(counts, 1)), np.nan)
    return means


def _figure(problem: Problem, lines: Sequence[Line], width: int) -> Figure:
    stretch = f" Each point is the geometric mean over {width} steps." if width > 1 else ""
    return Figure(
        name=problem_slug("loss", problem),
        problem=problem,
        title=problem.title,
        caption=f"Minibatch loss while training: median over seeds with the interquartile range.{stretch}",
        x_label="step",
        y_label="loss",
        x_scale="linear",
        y_scale="log",
        x_limits=(0.0, float(problem.horizon)),
        y_limits=y_range(lines, _CEILING, shown=max(float(one.middle[0]) for one in lines)),
        lines=tuple(lines),
    )
