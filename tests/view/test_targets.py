"""How soon a curve is down at a loss."""

import math

import numpy as np
import pytest
from bench_samples import runs_of

from rnnprop_cli.view.curves.curve import Curve, smooth
from rnnprop_cli.view.table.targets import steps_to_target, time_to_target


def test_the_target_is_reached_where_the_average_of_the_logarithm_is_down():
    values = np.exp(-np.arange(200) / 10)
    curve = Curve.of(values)
    mean, weight, wanted = 0.0, 0.0, math.inf
    for step, value in enumerate(values):
        mean, weight = 0.9 * mean + 0.1 * math.log(value), 0.9 * weight + 0.1
        if mean / weight <= math.log(0.01):
            wanted = step
            break
    assert steps_to_target([curve], 0.01) == [wanted]
    assert wanted > 10 * math.log(100)  # an average lags behind


@pytest.mark.parametrize("length", [1, 63, 64, 65, 300])
def test_curves_smoothed_together_are_smoothed_as_one_by_one(length):
    rng = np.random.default_rng(length)
    curves = [
        Curve.of(np.exp(-np.arange(size) / 40 + rng.normal(size=size))) for size in (length, length // 2)
    ]
    together = steps_to_target(curves, 0.2)
    for curve, taken in zip(curves, together, strict=True):
        reached = np.flatnonzero(smooth(curve, 0.9).values <= 0.2)
        assert taken == (reached[0] if reached.size else math.inf)


def test_one_lucky_minibatch_is_no_success():
    values = np.ones(50)
    values[20] = 0.5
    assert steps_to_target([Curve.of(values)], 0.6) == [math.inf]


def test_a_thinned_curve_is_averaged_over_steps_as_the_whole_one_is():
    whole = np.repeat(np.geomspace(4, 0.01, 50), 8)
    thinned = Curve.of(np.append(whole[::8], whole[-1]), stride=8)
    uneven = Curve(np.delete(thinned.steps, [3, 17]), np.delete(thinned.values, [3, 17]))
    (step,) = steps_to_target([Curve.of(whole)], 0.1)
    assert steps_to_target([thinned, uneven, Curve.of(whole)], 0.1) == [
        pytest.approx(step, abs=7),
        pytest.approx(step, abs=7),
        step,
    ]


def test_what_diverged_or_was_not_recorded_never_gets_there():
    runs = runs_of("adam", [0.3, math.nan, 0.3, "queued"])
    curves = {0: (np.arange(3), np.array([9.0, 0.0001, 0.0001])), 1: (np.arange(2), np.array([9.0, np.inf]))}
    time = time_to_target(runs, lambda ids: {run: curves[run] for run in ids if run in curves}, 0.3)
    assert time.share == 0.5
    assert time.steps == math.inf
    nothing = (None, None, None)
    assert time_to_target(runs, lambda ids: {}, 0.3) == nothing
    assert time_to_target(runs, lambda ids: curves, math.inf) == nothing
    assert steps_to_target([Curve.of([]), Curve.of([1.0])], 1.0) == [math.inf, 0.0]
