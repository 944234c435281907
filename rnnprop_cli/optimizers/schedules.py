"""Learning-rate schedules: from the steps done to a factor of the learning rate."""

from collections.abc import Callable
from math import cos, pi

from rnnprop_cli.spec.optimizers import ScheduleName


def build_schedule(name: ScheduleName, horizon: int, warmup: float) -> Callable[[int], float]:
    """The factor of every step of a trajectory.

    Args:
        name: constant: 1; cosine: from 1 at the first step to 0 behind the last; linear-warmup-cosine: a linear rise
            over the first `warmup` share of the horizon, then the cosine.
        horizon: T, steps of the trajectory.
        warmup: share of the horizon in [0, 0.5].
    """
    if name == "constant":
        return lambda count: 1.0
    rise = round(warmup * horizon) if name == "linear-warmup-cosine" else 0

    def factor(count: int) -> float:
        if count < rise:
            return (count + 1) / (rise + 1)
        progress = (count - rise) / max(1, horizon - rise)
        return 0.5 * (1 + cos(pi * min(1.0, progress)))

    return factor
