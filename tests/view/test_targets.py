"""How soon a curve is down at a loss."""

import math

import numpy as np
import pytest
from bench_samples import runs_of

from rnnprop_cli.view.curves import Curve
from rnnprop_cli.view.targets import steps_to_target, time_to_target


def test_the_target_is_reached_where_the_average_of_the_logarithm_is_down():
    values = np.exp(-np.arange(200) / 10)
    curve = Curve.of(values)
    mean, weight, wanted = 0.0, 0.0, math.inf
    for step, value in enumerate(values):
        mean, weight = 0.9 * mean + 0.1 * math.log(value), 0.9 * weight + 0.1
        if mean / weight <= math.log(0.01):
            wanted = step
            break
    assert steps_to_target(curve, 0.01) == wanted
    assert wanted > 10 * math.log(100)  # an average lags behind


def test_one_lucky_minibatch_is_no_success():
    values = np.ones(50)
    values[20] = 0.5
    assert steps_to_target(Curve.of(values), 0.6) == math.inf


def test_a_thinned_curve_is_averaged_over_steps_as_the_whole_one_is():
    whole = np.repeat(np.geomspace(4, 0.01, 50), 8)
    thinned = Curve.of(np.append(whole[::8], whole[-1]), stride=8)
    assert steps_to_target(thinned, 0.1) == pytest.approx(steps_to_target(Curve.of(whole), 0.1), abs=8)


def test_what_diverged_or_was_not_recorded_never_gets_there():
    runs = runs_of("adam", [0.3, math.nan, 0.3, "queued"])
    curves = {0: (np.arange(3), np.array([9.0, 0.0001, 0.0001])), 1: (np.arange(2), np.array([9.0, np.inf]))}
    time = time_to_target(runs, lambda ids: {run: curves[run] for run in ids if run in curves}, 0.3)
    assert time.share == 0.5
    assert time.steps == math.inf
    nothing = (None, None, None)
    assert time_to_target(runs, lambda ids: {}, 0.3) == nothing
    assert time_to_target(runs, lambda ids: curves, math.inf) == nothing
    assert steps_to_target(Curve.of([]), 1.0) == math.inf
