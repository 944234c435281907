"""Learning-rate schedules: from the steps done to a factor of the learning rate."""

from collections.abc import Callable
from math import cos, pi
from typing import Literal

ScheduleName = Literal["constant", "cosine", "linear-warmup-cosine", "wsd"]


def build_schedule(
    name: ScheduleName, horizon: int, warmup: float, cooldown: float = 0.2
) -> Callable[[int], float]:
    """The factor of every step of a trajectory.

    Args:
        name: constant: 1; cosine: from 1 at the first step to 0 behind the last; linear-warmup-cosine: a linear rise
            over the first `warmup` share of the horizon, then the cosine; wsd (warm-up, stable, decay): the same rise,
            then 1, then a linear fall to 0 behind the last step over the last `cooldown` share.
        horizon: T, steps of the trajectory.
        warmup: share of the horizon in [0, 0.5].
        cooldown: share of the horizon in [0, 0.5].
    """
    if name == "constant":
        return lambda count: 1.0
    rise = round(warmup * horizon) if name != "cosine" else 0
    fall = max(1, round(cooldown * horizon))

    def factor(count: int) -> float:
        if count < rise:
            return (count + 1) / (rise + 1)
        if name == "wsd":
            return min(1.0, max(0.0, (horizon - count) / fall)) if cooldown else 1.0
        progress = (count - rise) / max(1, horizon - rise)
        return 0.5 * (1 + cos(pi * min(1.0, progress)))

    return factor
