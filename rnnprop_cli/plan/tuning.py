"""The search for the learning rate: the grid 2^(-k/2), widened for as long as the best point lies at its edge.

Every classical optimizer gets the same number of points, seeds and rounds. The rounds are a pure function of what the
earlier ones measured, so an interrupted search continues as if nothing had happened.
"""

from collections.abc import Mapping
from math import inf, isfinite

from rnnprop_cli.spec.bench import TuningSpec


def grid_rate(k: int) -> float:
    """2^(-k/2)."""
    return float(2.0 ** (-k / 2))


def first_round(spec: TuningSpec, centre_k: int) -> tuple[int, ...]:
    """Consecutive k around the centre."""
    first = centre_k - spec.points // 2
    return tuple(range(first, first + spec.points))


def next_round(spec: TuningSpec, tried: Mapping[int, float]) -> tuple[int, ...]:
    """The k to try next; empty when the search is over.

    Args:
        spec: sizes of the rounds.
        tried: k → mean final loss over the tuning seeds, infinite where a seed failed.
    """
    ks = sorted(tried)
    rounds_done = 1 + (len(ks) - spec.points) // spec.extend_by
    if rounds_done >= spec.max_rounds:
        return ()
    best = best_k(tried)
    if best is None or best == ks[-1]:  # nothing worked, or the smallest rate is best: try smaller ones
        return tuple(range(ks[-1] + 1, ks[-1] + 1 + spec.extend_by))
    if best == ks[0]:
        return tuple(range(ks[0] - spec.extend_by, ks[0]))
    return ()


def best_k(tried: Mapping[int, float]) -> int | None:
    """The k with the lowest loss, the smaller rate if two tie; None if every one failed."""
    finite = {k: loss for k, loss in tried.items() if isfinite(loss)}
    return min(finite, key=lambda k: (finite[k], -k), default=None)


def mean_or_inf(losses: list[float | None]) -> float:
    """The mean, infinite if any of the losses is absent or not finite."""
    if not losses or any(loss is None or not isfinite(loss) for loss in losses):
        return inf
    return sum(loss for loss in losses if loss is not None) / len(losses)
