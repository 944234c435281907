"""Final loss against learning rate: how sharp each baseline's optimum is, and where a learned optimizer stands."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnprop_cli.view.curves.curve import Band, Curve
from rnnprop_cli.view.table.seed_groups import SeedGroup

_MARGIN = 2**0.5  # the learned optimizer's line goes on one grid point beyond the rates that were tried


@dataclass(frozen=True, eq=False)
class RateCurve:
    """One optimizer on one problem."""

    optimizer: str
    is_learned: bool
    group: SeedGroup | None  # the runs of its final rate
    curve: Band  # learning rates (not steps), median final loss, and its range over seeds


def rate_curves(groups: Sequence[SeedGroup]) -> list[RateCurve]:
    """The searches of one problem, and each learned optimizer that brings its own rate as a level line.

    The baselines' points are from the tuning seeds, a learned optimizer's level from the seeds of the final runs.
    A rate at which a seed diverged has the final loss infinity there.
    """
    finals = {group.facts.optimizer: group for group in groups if group.facts.phase == "final"}
    searched: dict[str, dict[float, list[float]]] = {}
    for group in groups:
        rate, losses = group.facts.lr, group.final_losses
        if group.facts.phase == "tuning" and rate is not None and rate > 0 and losses:
            searched.setdefault(group.facts.optimizer, {}).setdefault(rate, []).extend(losses)
    curves = [
        RateCurve(
            name, name in finals and finals[name].is_learned, finals.get(name), _band(sorted(points.items()))
        )
        for name, points in searched.items()
    ]
    curves.sort(key=lambda one: one.optimizer)
    rates = [rate for points in searched.values() for rate in points]
    low, high = (min(rates) / _MARGIN, max(rates) * _MARGIN) if rates else (1e-3, 1.0)
    learned = [
        RateCurve(name, True, group, _band([(low, group.final_losses), (high, group.final_losses)]))
        for name, group in finals.items()
        if group.is_learned and group.final_losses and name not in searched
    ]
    return learned + curves


def _band(points: Sequence[tuple[float, list[float]]]) -> Band:
    rates = np.array([rate for rate, _ in points])
    low, middle, high = (np.array([pick(losses) for _, losses in points]) for pick in (min, _median, max))
    return Band(rates, low, middle, high, np.array([len(losses) for _, losses in points]))


def _median(losses: Sequence[float]) -> float:
    """Of an even count the mean of the middle two, infinite if one of them is."""
    ordered = sorted(losses)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def best_point(curve: Curve | Band) -> tuple[float, float] | None:
    """The rate with the lowest finite loss, and that loss."""
    values = curve.values if isinstance(curve, Curve) else curve.middle
    finite = [(float(y), float(x)) for x, y in zip(curve.steps, values, strict=True) if math.isfinite(y)]
    if not finite:
        return None
    loss, rate = min(finite)
    return rate, loss
