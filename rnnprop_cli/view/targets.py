"""How soon a curve comes down to a loss."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.curves import Curve, smooth
from rnnprop_cli.view.statistics import median

SMOOTHING: Final = 0.9  # decay of the moving average of the log loss: one lucky minibatch is no success

# Loss curves (steps, values) of runs by their ids.
LoadCurves = Callable[[Sequence[int]], Mapping[int, tuple[NDArray[np.int64], NDArray[np.float64]]]]


class TimeToTarget(NamedTuple):
    """Medians over all seeds; a seed that never gets there has infinity, so half of such seeds make it infinite."""

    steps: float | None
    seconds: float | None
    share: float | None  # of the seeds that get there


def steps_to_target(curve: Curve, target: float) -> float:
    """Updates made until the smoothed loss is at or below the target; infinite if it never is.

    As `loss[t]` is taken before update t, the answer t is the number of updates before it.

    >>> steps_to_target(Curve.of([4.0, 2.0, 1.0, 1.0]), 4.0)
    0.0
    """
    if not len(curve):
        return math.inf
    # A thinned curve holds its last value between its points, so the average is over steps, not points.
    steps = np.arange(curve.steps[0], curve.steps[-1] + 1)
    smoothed = smooth(Curve(steps, curve.at(steps)), SMOOTHING)
    reached = np.flatnonzero(smoothed.values <= target)
    return float(steps[reached[0]]) if reached.size else math.inf


def time_to_target(runs: Sequence[RunInfo], load: LoadCurves, target: float) -> TimeToTarget:
    """How soon the runs of one row reach the target. Runs without a result take no part."""
    ended = [run for run in runs if run.result.status in ("done", "diverged")]
    if not ended or not math.isfinite(target):
        return TimeToTarget(None, None, None)
    curves = load([run.id for run in ended])
    steps, seconds = [], []
    for run in ended:
        recorded = curves.get(run.id)
        if recorded is None or not recorded[0].size:
            continue
        curve = Curve(recorded[0].astype(np.float64), recorded[1])
        taken = steps_to_target(curve, target)
        steps.append(taken)
        if run.result.elapsed_s is not None:
            seconds.append(taken * run.result.elapsed_s / run.facts.horizon)
    if not steps:
        return TimeToTarget(None, None, None)
    share = sum(math.isfinite(each) for each in steps) / len(steps)
    return TimeToTarget(median(steps), median(seconds), share)
