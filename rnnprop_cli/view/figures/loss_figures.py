"""Loss curves of every optimizer on one problem (the paper's Figures 2, 4, 5, 7, 8 and 9)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

import numpy as np

from rnnprop_cli.view.curves.curve import Curve, FloatArray, quantiles
from rnnprop_cli.view.figures.figure import (
    BEST,
    Figure,
    Line,
    line,
    optimizer_styles,
    problem_slug,
    with_distinct_names,
    y_range,
)
from rnnprop_cli.view.figures.styles import Style
from rnnprop_cli.view.table.rows import Problem
from rnnprop_cli.view.table.seed_groups import SeedGroup, Summary
from rnnprop_cli.view.table.targets import LoadCurves

MOST_POINTS: Final = 125  # of a line; a longer curve is averaged over stretches of equal length
_CEILING: Final = 300.0
_QUARTILES: Final = (0.25, 0.5, 0.75)


def loss_figures(summary: Summary, load: LoadCurves) -> list[Figure]:
    """A figure for each problem; the curves of one problem are in memory at a time."""
    return with_distinct_names(_loss_figures(summary, load))


def _loss_figures(summary: Summary, load: LoadCurves) -> Iterator[Figure]:
    styles = optimizer_styles(summary)
    for problem, groups in groupby(summary.groups, lambda group: group.problem):
        width = -(-problem.horizon // MOST_POINTS)
        final = [group for group in groups if group.facts.phase == "final"]
        ordered = sorted(final, key=lambda group: (not group.is_learned, group.facts.optimizer))
        drawn = (_line(group, styles[group.facts.optimizer], load, width) for group in ordered)
        if lines := [line for line in drawn if line is not None]:
            yield _figure(problem, lines, width)


def _line(group: SeedGroup, style: Style, load: LoadCurves, width: int) -> Line | None:
    runs = [run for run in group.runs if run.result.status in ("done", "diverged")]
    horizon = group.problem.horizon
    recorded = load([run.id for run in runs])
    averages = []
    for run in runs:
        steps, values = recorded.get(run.id, (np.zeros(0), np.zeros(0)))
        if len(steps):
            curve = Curve(steps.astype(np.float64), values)
            # A diverged run stops recording; without this it would drop out and leave the others looking better.
            whole = curve.diverged_until(horizon - 1) if run.result.status == "diverged" else curve
            averages.append(geometric_means(whole, horizon, width))
    if not averages:
        return None
    low, middle, high = quantiles(np.stack(averages), _QUARTILES)
    x = np.minimum(np.arange(middle.size) * width + (width - 1) / 2, horizon - 1)
    drawn = line(group.facts.optimizer, style, x, middle, low, high)
    return replace(drawn, is_best=group.is_best)


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
        caption=f"Minibatch loss while training: median over seeds with the interquartile range.{stretch} {BEST}",
        x_label="step",
        y_label="loss",
        x_scale="linear",
        y_scale="log",
        x_limits=(0.0, float(problem.horizon)),
        y_limits=y_range(lines, _CEILING, shown=max(float(one.middle[0]) for one in lines)),
        lines=tuple(lines),
    )
