"""Final loss against learning rate: how sharp each baseline's optimum is, and where a learned optimizer stands.

The one such curve of this program: the live plots, the figures and the HTML report all show it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnprop_cli.view.curves.curve import Band, Curve
from rnnprop_cli.view.table.grouping import Seeds, by_search
from rnnprop_cli.view.table.rows import RatePoint
from rnnprop_cli.view.table.searches import rate_point
from rnnprop_cli.view.table.seed_groups import SeedGroup

_MARGIN = 2**0.5  # the learned optimizer's line goes on one grid point beyond the rates that were tried


@dataclass(frozen=True, eq=False)
class RateCurve:
    """One optimizer on one problem."""

    optimizer: str
    is_learned: bool
    is_level: bool  # it brings its own rate
    group: SeedGroup | None  # the runs of its final rate
    # learning rates (not steps); mean over the seeds, infinite where one diverged; and from the lowest seed to the
    # highest, or for a level line the mean's 95 % interval
    curve: Band


def rate_curves(groups: Sequence[SeedGroup]) -> list[RateCurve]:
    """The searches of one problem, and each learned optimizer that brings its own rate as a level line.

    The baselines' points are from the tuning seeds, a learned optimizer's level from the seeds of the final runs.
    """
    finals = {group.facts.optimizer: group for group in reversed(groups) if group.facts.phase == "final"}
    searched = []
    rates: list[float] = []
    for members in by_search(Seeds(group.runs) for group in groups).values():
        points = [point for one in members if (point := rate_point(one)) and _is_plotted(point)]
        if points:
            name = members[0].facts.optimizer
            group = finals.get(name)
            is_learned = group is not None and group.is_learned
            searched.append(RateCurve(name, is_learned, False, group, _search(points)))
            rates += [point.learning_rate for point in points]
    ends = (min(rates) / _MARGIN, max(rates) * _MARGIN) if rates else (1e-3, 1.0)
    names = {one.optimizer for one in searched}
    levels = [
        RateCurve(name, True, True, group, _level(group, ends))
        for name, group in finals.items()
        if group.is_learned and group.row.counts.seeds and name not in names
    ]
    return [*sorted(levels, key=_name), *sorted(searched, key=_name)]


def _name(curve: RateCurve) -> str:
    return curve.optimizer


def _is_plotted(point: RatePoint) -> bool:
    return point.learning_rate > 0 and point.counts.seeds > 0


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _search(points: Sequence[RatePoint]) -> Band:
    return Band(
        np.array([point.learning_rate for point in points]),
        np.array([_or_nan(point.lowest) for point in points]),
        np.array([math.inf if point.counts.diverged else _or_nan(point.loss.centre) for point in points]),
        np.array([_or_nan(point.highest) for point in points]),
        np.array([point.counts.seeds for point in points]),
    )


def _level(group: SeedGroup, ends: tuple[float, float]) -> Band:
    mean, counts = group.row.final.mean, group.row.counts
    middle = math.inf if counts.diverged else _or_nan(mean.centre)
    low, high = _or_nan(mean.low), _or_nan(mean.high)
    return Band(
        np.array(ends),
        np.array([low] * 2),
        np.array([middle] * 2),
        np.array([high] * 2),
        np.array([counts.seeds] * 2),
    )


def best_point(curve: Curve | Band) -> tuple[float, float] | None:
    """The rate with the lowest finite loss, and that loss."""
    values = curve.values if isinstance(curve, Curve) else curve.middle
    finite = [(float(y), float(x)) for x, y in zip(curve.steps, values, strict=True) if math.isfinite(y)]
    if not finite:
        return None
    loss, rate = min(finite)
    return rate, loss
