"""Figures that the rows of a benchmark alone can tell.

- final loss against learning rate, learned optimizers as level lines (the paper's Figure 3)
- final loss against depth (its Figure 6)
- performance profiles over all problems
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

import numpy as np

from rnnprop_cli.view.figures.figure import (
    BEST,
    Figure,
    Line,
    line,
    optimizer_styles,
    problem_slug,
    slug,
    with_distinct_names,
    y_range,
)
from rnnprop_cli.view.figures.styles import Style
from rnnprop_cli.view.table.profiles import ALL_PROBLEMS, profiles
from rnnprop_cli.view.table.rate_curves import RateCurve, rate_curves
from rnnprop_cli.view.table.rows import Problem, SummaryRow
from rnnprop_cli.view.table.seed_groups import SeedGroup, Summary

# The y axis ends at this multiple of the lowest value, and at chance where that is higher; what lies beyond is marked
# at its top.
_CEILING: Final = 30.0
_BEYOND: Final = "× at the top: a seed diverged, or the loss lies beyond the axis."
_WIDEST_FACTOR: Final = 4.0  # of the performance profiles


def summary_figures(summary: Summary) -> list[Figure]:
    """All figures that the rows alone can tell."""
    styles = optimizer_styles(summary)
    figures = [
        _rate_figure(problem, list(groups), styles)
        for problem, groups in groupby(summary.groups, lambda group: group.problem)
    ]
    figures += _depth_figures(summary, styles)
    figures.append(_profile_figure(summary, styles))
    return with_distinct_names(figure for figure in figures if figure is not None)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _reported_mean(row: SummaryRow) -> float:
    """The mean of a row, infinite where a run diverged: a mean over the others would flatter."""
    return math.inf if row.counts.diverged else _or_nan(row.final.mean.centre)


def _rate_figure(problem: Problem, groups: Sequence[SeedGroup], styles: dict[str, Style]) -> Figure | None:
    curves = [
        one for one in rate_curves(groups) if one.group is not None and (one.is_level or len(one.curve) > 1)
    ]
    rates = [rate for one in curves if not one.is_level for rate in one.curve.steps.tolist()]
    if not rates:
        return None
    limits = min(rates) / 2**0.5, max(rates) * 2**0.5
    lines = [_rate_line(one, styles[one.optimizer]) for one in curves]
    reference = _chance([group.row for group in groups])
    return Figure(
        name=problem_slug("rates", problem),
        problem=problem,
        title=problem.title,
        caption="Final loss against learning rate in the search: mean over the tuning seeds, whiskers from the lowest "
        "to the highest. A learned optimizer that brings its own rate is a level line: the mean over the final seeds "
        f"with its 95 % interval. {_BEYOND} {BEST}",
        x_label="learning rate",
        y_label="final loss",
        x_scale="log",
        y_scale="log",
        x_limits=limits,
        y_limits=y_range(lines, _CEILING, shown=_shown(lines, reference)),
        lines=tuple(lines),
        reference=reference,
    )


def _chance(rows: Sequence[SummaryRow]) -> tuple[float, str] | None:
    """The level of guessing, where the rows are about a classification."""
    chance = rows[0].chance_loss
    return None if chance is None else (chance, "chance")


def _shown(lines: Sequence[Line], reference: tuple[float, str] | None) -> float:
    """Up to where the y axis reaches at least: to chance, or without that to where every optimizer is at its best."""
    if reference is not None:
        return reference[0]
    finite = (one.middle[np.isfinite(one.middle)] for one in lines)
    return 3 * max((float(values.min()) for values in finite if values.size), default=0.0)


def _rate_line(one: RateCurve, style: Style) -> Line:
    band = one.curve
    drawn = line(one.optimizer, style, band.steps, band.middle, band.low, band.high)
    return replace(
        drawn,
        level=one.is_level,
        marked=not one.is_level,
        is_best=one.group is not None and one.group.is_best,
    )


def _depth_figures(summary: Summary, styles: dict[str, Style]) -> list[Figure]:
    families: dict[Problem, dict[str, dict[int, SummaryRow]]] = {}
    for row in summary.rows:
        if row.phase == "final" and row.problem.depth is not None and row.counts.seeds:
            family = families.setdefault(row.problem._replace(depth=None), {})
            family.setdefault(row.optimizer, {}).setdefault(
                row.problem.depth, row
            )  # the better one comes first
    figures = []
    for shared, by_optimizer in families.items():
        depths = sorted({depth for rows in by_optimizer.values() for depth in rows})
        if len(depths) < 2:
            continue
        lines = [
            _line_over(depths, rows, optimizer, styles[optimizer])
            for optimizer, rows in sorted(by_optimizer.items(), key=_learned_first)
        ]
        reference = _chance([row for rows in by_optimizer.values() for row in rows.values()])
        figures.append(
            Figure(
                name=slug("depth", shared.dataset, shared.network, f"x{shared.horizon}"),
                problem=None,
                title=shared.title,
                caption="Final loss against depth: mean over seeds with its 95 % interval, every baseline tuned at "
                f"each depth. {_BEYOND}",
                x_label="depth (layers)",
                y_label="final loss",
                x_scale="linear",
                y_scale="log",
                x_limits=(depths[0] - 0.4, depths[-1] + 0.4),
                y_limits=y_range(lines, _CEILING, shown=_shown(lines, reference)),
                lines=tuple(lines),
                reference=reference,
                x_ticks=tuple(map(float, depths)),
            )
        )
    return figures


def _learned_first(item: tuple[str, dict[int, SummaryRow]]) -> tuple[bool, str]:
    optimizer, rows = item
    return next(iter(rows.values())).is_baseline, optimizer


def _line_over(depths: Sequence[int], rows: dict[int, SummaryRow], label: str, style: Style) -> Line:
    def values(of_row: Callable[[SummaryRow], float | None]) -> list[float]:
        return [_or_nan(of_row(rows[depth])) if depth in rows else math.nan for depth in depths]

    middle, low, high = (
        values(_reported_mean),
        values(lambda row: row.final.mean.low),
        values(lambda row: row.final.mean.high),
    )
    return replace(line(label, style, depths, middle, low, high), marked=True)


def _profile_figure(summary: Summary, styles: dict[str, Style]) -> Figure | None:
    found = [profile for profile in profiles(summary.rows) if profile.group == ALL_PROBLEMS]
    if not found:
        return None
    lines = []
    for profile in found:
        factors = [1.0, *(r for r in profile.ratios if 1 < r < _WIDEST_FACTOR), _WIDEST_FACTOR]
        shares = [profile.share_within(factor) for factor in factors]
        nothing = [math.nan] * len(factors)
        one = line(profile.optimizer, styles[profile.optimizer], factors, shares, nothing, nothing)
        lines.append(replace(one, steps=True))
    return Figure(
        name="profiles",
        problem=None,
        title=f"Performance profiles over {len(found[0].ratios)} problems",
        caption="Share of the problems on which the median final loss is within a factor of the best there "
        "(Dolan & Moré 2002). Further up and left is better.",
        x_label="factor of the best final loss",
        y_label="share of problems",
        x_scale="log",
        y_scale="linear",
        x_limits=(1.0, _WIDEST_FACTOR),
        y_limits=(-0.02, 1.02),
        lines=tuple(lines),
    )
