"""The search for the learning rate, in rounds.

1. Grid: consecutive points 2^(-k/2) on a few tuning seeds, widened for as long as the best one lies at an edge.
2. Confirmation: few seeds cannot tell neighbours apart, and the lowest of several noisy means is low by luck. So every
   rate that the data cannot tell from the best, and at least the best three, runs on more tuning seeds.
3. The rate with the lowest mean over all its tuning runs goes to the final runs, on seeds that no search has seen.

Every optimizer, classical or learned, is searched by these rules. The rounds are a pure function of what the earlier
ones measured, so an interrupted search continues as if nothing had happened.
"""

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Final, NamedTuple, TypeVar

from rnnprop_cli.spec.bench import TuningSpec
from rnnprop_cli.statistics import mean_with_interval

LEAST_CONFIRMED: Final = 3  # rates that are confirmed at least, where so many worked

Key = TypeVar("Key", int, float)  # of a rate: its k, or anything else that rises as the rate falls
# key → final losses of the tuning runs in the order of the tuning seeds, infinite where a run failed
Tried = Mapping[Key, Sequence[float]]


class Round(NamedTuple):
    """Runs that can all be made at once: every rate on every one of these tuning seeds."""

    ks: tuple[int, ...]
    seeds: range  # numbers of tuning seeds, counted from 0


def grid_rate(k: int) -> float:
    """2^(-k/2)."""
    return float(2.0 ** (-k / 2))


def first_round(spec: TuningSpec, centre_k: int) -> Round:
    """Consecutive k around the centre."""
    first = centre_k - spec.points // 2
    return Round(tuple(range(first, first + spec.points)), range(spec.seeds))


def next_round(spec: TuningSpec, tried: Tried[int]) -> Round | None:
    """What to run next; None when the search is over.

    Args:
        spec: sizes of the rounds.
        tried: what the earlier rounds measured.
    """
    ks = sorted(tried)
    best = best_k(tried)
    grid_rounds = 1 + (len(ks) - spec.points) // spec.extend_by
    if grid_rounds < spec.max_rounds:
        if best is None or best == ks[-1]:  # nothing worked, or the smallest rate is best: try smaller ones
            return Round(tuple(range(ks[-1] + 1, ks[-1] + 1 + spec.extend_by)), range(spec.seeds))
        if best == ks[0]:
            return Round(tuple(range(ks[0] - spec.extend_by, ks[0])), range(spec.seeds))
    unconfirmed = tuple(k for k in contenders(tried) if len(tried[k]) == spec.seeds)
    if spec.confirm_seeds and unconfirmed:
        return Round(unconfirmed, range(spec.seeds, spec.seeds + spec.confirm_seeds))
    return None


def best_k(tried: Tried[Key]) -> Key | None:
    """The key with the lowest mean loss, the smaller rate if two tie; None if every one failed.

    Rates that were confirmed are compared with one another only: the mean of few seeds says less.
    """
    most = max((len(losses) for losses in tried.values() if isfinite(mean_or_inf(losses))), default=0)
    means = {k: mean_or_inf(losses) for k, losses in tried.items() if len(losses) == most}
    finite = {k: mean for k, mean in means.items() if isfinite(mean)}
    return min(finite, key=lambda k: (finite[k], -k), default=None)


def contenders(tried: Tried[Key]) -> tuple[Key, ...]:
    """The best rate, those that tie with it, and the best few at least; in ascending order of the key."""
    working = [k for k, losses in tried.items() if isfinite(mean_or_inf(losses))]
    fewest = min((len(tried[k]) for k in working), default=0)
    by_loss: list[Key] = sorted(working, key=lambda k: (mean_or_inf(tried[k][:fewest]), -k))
    return tuple(sorted(set(by_loss[:LEAST_CONFIRMED]) | set(tied(tried))))


def tied(tried: Tried[Key]) -> tuple[Key, ...]:
    """The best rate and those that the data cannot tell from it, in ascending order of the key.

    Two rates cannot be told apart where the 95 % t-interval of their difference, paired by tuning seed, reaches zero.
    """
    best = best_k(tried)
    if best is None:
        return ()
    working = [k for k, losses in tried.items() if isfinite(mean_or_inf(losses))]
    return tuple(sorted(k for k in working if k == best or _ties(tried[k], tried[best])))


def _ties(losses: Sequence[float], best: Sequence[float]) -> bool:
    """Whether a rate may be as good as the best one, as far as the tuning seeds that both have tell."""
    difference = mean_with_interval([a - b for a, b in zip(losses, best, strict=False)])
    return difference.low is None or difference.low <= 0


def mean_or_inf(losses: Sequence[float | None]) -> float:
    """The mean, infinite if any of the losses is absent or not finite."""
    if not losses or any(loss is None or not isfinite(loss) for loss in losses):
        return inf
    return sum(loss for loss in losses if loss is not None) / len(losses)
