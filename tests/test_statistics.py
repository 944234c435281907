"""Centres, intervals and paired differences, against scipy and by property."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnprop_cli.statistics import (
    interquartile_mean,
    mean_with_interval,
    median,
    median_with_interval,
    paired_difference,
)

losses = st.lists(st.floats(1e-3, 10), min_size=2, max_size=20)


@settings(deadline=None)
@given(losses)
def test_the_interval_of_the_mean_is_students(values):
    from scipy import stats

    estimate = mean_with_interval(values)
    wanted = stats.t.interval(
        0.95, len(values) - 1, loc=np.mean(values), scale=max(stats.sem(values), 1e-300)
    )
    assert (estimate.low, estimate.high) == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    assert estimate.half_width == pytest.approx((wanted[1] - wanted[0]) / 2, rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(losses)
def test_the_interquartile_mean_is_scipys_trimmed_mean_and_lies_in_its_interval(values):
    from scipy import stats

    estimate = interquartile_mean(values)
    assert estimate.centre == pytest.approx(stats.trim_mean(values, 0.25))
    assert min(values) * (1 - 1e-9) <= estimate.low <= estimate.high <= max(values) * (1 + 1e-9)


@pytest.mark.parametrize("estimate", [interquartile_mean, median_with_interval])
def test_the_bootstrap_is_deterministic_and_close_to_scipys(estimate):
    from scipy import stats

    values = list(np.random.default_rng(1).random(20))
    assert estimate(values) == estimate(values)
    statistic = (
        np.median if estimate is median_with_interval else lambda x, axis: stats.trim_mean(x, 0.25, axis)
    )
    interval = stats.bootstrap(
        (values,),
        statistic,
        method="percentile",
        n_resamples=9999,
        rng=np.random.default_rng(2),
        vectorized=True,
    ).confidence_interval
    assert estimate(values).low == pytest.approx(interval.low, abs=0.03)  # 2000 resamples
    assert estimate(values).high == pytest.approx(interval.high, abs=0.03)


@pytest.mark.parametrize("estimate", [mean_with_interval, interquartile_mean, median_with_interval])
def test_too_few_values_give_no_interval(estimate):
    assert estimate([]) == (None, None, None)
    assert estimate([0.5]) == (0.5, None, None)
    assert median([]) is None


def test_diverged_runs_are_trimmed_while_they_are_few_and_tell_when_they_are_many():
    few, many = [0.1] * 8 + [math.inf] * 2, [0.1] * 5 + [math.inf] * 5
    assert interquartile_mean(few).centre == pytest.approx(0.1)
    assert interquartile_mean(few).high == math.inf  # a resample may hold more of them
    assert interquartile_mean(many).centre == math.inf
    assert median(few) == 0.1
    assert median(many) == math.inf


def test_a_paired_difference_cancels_what_the_seeds_share():
    reference = {seed: 1.0 + seed for seed in range(10)}
    difference = paired_difference({seed: loss - 0.55 for seed, loss in reference.items()}, reference)
    assert difference.percent.centre == pytest.approx(-10)
    assert difference.percent.half_width == pytest.approx(0, abs=1e-9)
    assert (difference.better, difference.pairs) == (10, 10)


def test_only_common_seeds_are_paired_and_equal_values_are_not_better():
    difference = paired_difference({0: 1.0, 1: 1.0, 7: 0.0}, {0: 1.0, 1: 2.0, 8: 9.0})
    assert (difference.better, difference.pairs) == (1, 2)
    assert difference.percent.centre == pytest.approx(100 * -0.5 / 1.5)


def test_a_diverged_run_counts_as_worse_but_has_no_percentage():
    difference = paired_difference({0: math.inf, 1: 1.0, 2: math.inf}, {0: 1.0, 1: math.inf, 2: math.inf})
    assert (difference.better, difference.pairs) == (1, 3)
    assert difference.percent.centre is None


@pytest.mark.parametrize("reference", [{}, {0: 0.0}, {0: -1.0}])
def test_there_is_no_percentage_of_nothing(reference):
    assert paired_difference({0: 1.0}, reference).percent.centre is None


def test_importing_the_tables_loads_no_scipy():
    code = "import sys, rnnprop_cli.view.formats.records; assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
