"""How soon a curve comes down to a loss."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rnnprop_cli.records import RunInfo
from rnnprop_cli.statistics import median
from rnnprop_cli.view.curves.curve import Curve, FloatArray
from rnnprop_cli.view.table.rows import TimeToTarget

SMOOTHING: Final = 0.9  # decay of the moving average of the log loss: one lucky minibatch is no success

_TINY: Final = 1e-300  # below it a loss counts as solved
_DIVERGED: Final = 700.0  # stands for the logarithm of infinity: no later loss can make up for it
_BLOCK: Final = 64

# Loss curves (steps, values) of runs by their ids.
LoadCurves = Callable[[Sequence[int]], Mapping[int, tuple[NDArray[np.int64], NDArray[np.float64]]]]


def steps_to_target(curves: Sequence[Curve], target: float) -> list[float]:
    """Updates made until the smoothed loss is at or below the target, for each curve; infinite if it never is.

        m_t = decay m_{t-1} + (1 - decay) log y_t,    reached at the first t with m_t / (1 - decay^(t+1)) <= log target

    As `loss[t]` is taken before update t, the answer t is the number of updates before it. A thinned curve holds each
    of its values until the next one, so the average is over steps, not over points. What is not finite never comes
    back.

    >>> steps_to_target([Curve.of([4.0, 2.0, 1.0, 1.0])], 4.0)
    [0.0]
    """
    taken = [math.inf] * len(curves)
    alike: dict[tuple[float, float], list[int]] = {}  # curves on one grid are smoothed together
    regular = [_on_a_grid(curve) for curve in curves]
    for number, curve in enumerate(regular):
        if len(curve):
            stride = curve.steps[1] - curve.steps[0] if len(curve) > 1 else 1.0
            alike.setdefault((float(curve.steps[0]), float(stride)), []).append(number)
    goal = math.log(max(target, _TINY))
    for (start, stride), numbers in alike.items():
        longest = max(len(regular[number]) for number in numbers)
        logs_RS = np.full((len(numbers), longest), _DIVERGED)
        for row, number in zip(logs_RS, numbers, strict=True):
            values = regular[number].values
            usable = np.isfinite(values)
            row[: values.size][usable] = np.log(np.maximum(values[usable], _TINY))
        reached_RS = _averages(logs_RS, SMOOTHING**stride) <= goal
        for number, row in zip(numbers, reached_RS, strict=True):
            if row.any():
                taken[number] = start + int(row.argmax()) * stride + stride - 1  # the end of the stretch
    return taken


def _on_a_grid(curve: Curve) -> Curve:
    """The curve itself where its steps are equally far apart, else one with every step."""
    gaps = np.diff(curve.steps)
    if not gaps.size or (gaps == gaps[0]).all():
        return curve
    steps = np.arange(curve.steps[0], curve.steps[-1] + 1)
    return Curve(steps, curve.at(steps))


def _averages(logs_RS: FloatArray, decay: float) -> FloatArray:
    """Debiased moving averages of rows: a matrix product inside blocks, a short loop across them."""
    rows, length = logs_RS.shape
    blocks = -(-length // _BLOCK)
    padded = np.zeros((rows, blocks * _BLOCK))
    padded[:, :length] = logs_RS
    lag = np.subtract.outer(np.arange(_BLOCK), np.arange(_BLOCK))
    weights = np.where(lag >= 0, (1 - decay) * decay ** np.maximum(lag, 0), 0.0)
    sums_RBS = padded.reshape(rows, blocks, _BLOCK) @ weights.T
    carry = decay ** np.arange(1, _BLOCK + 1)
    for block in range(1, blocks):
        sums_RBS[:, block] += sums_RBS[:, block - 1, -1:] * carry
    averages: FloatArray = sums_RBS.reshape(rows, -1)[:, :length] / (1 - decay ** np.arange(1, length + 1))
    return averages


def time_to_target(runs: Sequence[RunInfo], load: LoadCurves, target: float) -> TimeToTarget:
    """How soon the runs of one row reach the target. Runs without a result take no part."""
    ended = [run for run in runs if run.result.status in ("done", "diverged")]
    if not ended or not math.isfinite(target):
        return TimeToTarget(None, None, None)
    recorded = load([run.id for run in ended])
    found = [run for run in ended if run.id in recorded and recorded[run.id][0].size]
    steps = steps_to_target(
        [Curve(recorded[run.id][0].astype(np.float64), recorded[run.id][1]) for run in found], target
    )
    seconds = [
        taken * run.result.elapsed_s / run.facts.horizon
        for run, taken in zip(found, steps, strict=True)
        if run.result.elapsed_s is not None
    ]
    if not steps:
        return TimeToTarget(None, None, None)
    share = sum(math.isfinite(each) for each in steps) / len(steps)
    return TimeToTarget(median(steps), median(seconds), share)
