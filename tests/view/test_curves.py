from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rnnprop_cli.view.curves.curve import (
    Curve,
    band_over_seeds,
    bin_width,
    envelope,
    quantiles,
    smooth,
)

nan, inf = np.nan, np.inf
losses = st.floats(-1e6, 1e6) | st.sampled_from([nan, inf, 0.0])


def curves(max_size: int = 200) -> st.SearchStrategy[Curve]:
    return st.lists(losses, max_size=max_size).map(Curve.of)


# A curve


@pytest.mark.parametrize(
    ("steps", "values"),
    [([0, 1], [1.0]), ([1, 0], [1.0, 2.0]), ([0, 0], [1.0, 2.0]), ([0, nan], [1.0, 2.0]), ([[0]], [[1.0]])],
)
def test_malformed_curves_are_refused(steps: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match="steps"):
        Curve(np.array(steps), np.array(values))


def test_a_curve_is_read_only_and_leaves_the_given_array_writeable() -> None:
    values = np.ones(3)
    curve = Curve.of(values)
    with pytest.raises(ValueError, match="read-only"):
        curve.values[0] = 2.0
    values[0] = 2.0


def test_value_between_steps_is_the_last_recorded_and_none_outside() -> None:
    curve = Curve.of([5.0, nan, 7.0], stride=10)
    assert curve.value_at(9) == 5.0
    assert np.isnan(curve.value_at(10))
    assert curve.value_at(20) == 7.0
    assert np.isnan(curve.at([-1, 21])).all()


def test_an_empty_curve_has_no_values() -> None:
    assert np.isnan(Curve.of([]).value_at(0))


def test_a_diverged_curve_goes_on_infinite() -> None:
    curve = Curve.of([1.0, 2.0]).diverged_until(10)
    assert curve.at([0, 1, 2, 5, 10]).tolist() == [1, 2, inf, inf, inf]
    assert Curve.of([1.0, 2.0]).diverged_until(1).values.tolist() == [1, 2]
    assert Curve.of([]).diverged_until(3).values.tolist() == [inf, inf]


# Bands


def test_iqr_and_median_match_numpy_where_all_is_finite() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 40))
    band = band_over_seeds([Curve.of(row) for row in rows])
    expected = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose([band.low, band.middle, band.high], expected, rtol=1e-12)


def test_ragged_live_runs_count_only_as_far_as_they_go() -> None:
    band = band_over_seeds([Curve.of([1.0, 1.0, 1.0]), Curve.of([3.0])], "minmax")
    assert band.count.tolist() == [2, 1, 1]
    assert band.low.tolist() == [1, 1, 1]
    assert band.high.tolist() == [3, 1, 1]
    assert band.middle.tolist() == [2, 1, 1]


def test_runs_of_different_stride_are_joined_by_their_last_values() -> None:
    band = band_over_seeds([Curve.of([1.0, 2.0, 3.0]), Curve.of([10.0, 30.0], stride=2)], "minmax")
    assert band.steps.tolist() == [0, 1, 2]
    assert band.high.tolist() == [10, 10, 30]


def test_an_infinite_seed_lifts_the_band_and_a_missing_one_does_not() -> None:
    band = band_over_seeds([Curve.of([1.0]), Curve.of([2.0]), Curve.of([inf]), Curve.of([nan])])
    assert (band.low[0], band.middle[0], band.high[0]) == (1.5, 2.0, inf)
    assert band.count[0] == 3


def test_no_runs_give_an_empty_band() -> None:
    assert len(band_over_seeds([])) == 0
    assert len(band_over_seeds([Curve.of([])])) == 0


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=losses))
def test_quantiles_are_ordered_and_missing_only_where_all_is_missing(rows: np.ndarray) -> None:
    found = quantiles(rows, (0.0, 0.25, 0.5, 0.75, 1.0))
    is_missing = np.isnan(rows).all(axis=0)
    for lower, upper in pairwise(found):
        assert (np.isnan(lower) == is_missing).all()
        # Interpolation rounds: equal up to the last bits of the larger values.
        assert (lower[~is_missing] <= upper[~is_missing] + 1e-9 * np.abs(upper[~is_missing]) + 1e-12).all()


# Smoothing


def test_smoothing_is_the_debiased_average_of_logarithms() -> None:
    values = np.exp(np.random.default_rng(1).normal(size=300))
    decay, mean, expected = 0.9, 0.0, []
    for count, value in enumerate(values, start=1):
        mean = decay * mean + (1 - decay) * np.log(value)
        expected.append(np.exp(mean / (1 - decay**count)))
    np.testing.assert_allclose(smooth(Curve.of(values), decay).values, expected, rtol=1e-10)


def test_smoothing_starts_at_the_first_value() -> None:
    assert smooth(Curve.of([8.0, 8.0, 2.0]), 0.99).values[0] == pytest.approx(8.0)


def test_points_without_logarithm_stay_and_do_not_spread() -> None:
    smoothed = smooth(Curve.of([4.0, nan, inf, 0.0, -1.0, 4.0]), 0.5).values
    np.testing.assert_allclose(smoothed, [4, nan, inf, 0, -1, 4])


def test_linear_smoothing_takes_negative_values() -> None:
    assert smooth(Curve.of([-1.0, -3.0]), 0.5, log=False).values.tolist() == [-1.0, pytest.approx(-7 / 3)]


def test_no_smoothing_is_the_curve_itself() -> None:
    curve = Curve.of([1.0])
    assert smooth(curve, 0.0) is curve
    with pytest.raises(ValueError, match="decay"):
        smooth(curve, 1.0)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200), st.floats(0.01, 0.999))
def test_a_smoothed_curve_stays_between_its_extremes(values: list[float], decay: float) -> None:
    smoothed = smooth(Curve.of(values), decay).values
    # exp(log x) loses a few of the last bits.
    assert (smoothed >= min(values) * (1 - 1e-9)).all()
    assert (smoothed <= max(values) * (1 + 1e-9)).all()


# Envelopes


@pytest.mark.parametrize(
    ("span", "bins", "width"), [(100, 100, 1), (101, 100, 2), (10_000, 300, 64), (5, 0, 1)]
)
def test_bins_are_the_smallest_power_of_two_that_fits(span: float, bins: int, width: int) -> None:
    assert bin_width(span, bins) == width


def test_a_spike_of_one_step_survives_any_width() -> None:
    values = np.ones(5000)
    values[3141] = 99.0
    for width in (1, 2, 64, 4096, 8192):
        assert envelope(Curve.of(values), width).high.max() == 99.0


def test_a_bin_keeps_what_enters_and_leaves() -> None:
    bins = envelope(Curve.of([5.0, 1.0, 9.0, 4.0, nan, 2.0, nan, nan]), 4)
    assert bins.steps.tolist() == [0, 4]
    assert bins.first.tolist()[0] == 5
    assert bins.last.tolist()[0] == 4
    assert (bins.low.tolist(), bins.high.tolist()) == ([1, 2], [9, 2])
    assert np.isnan([bins.first[1], bins.last[1]]).all()


def test_width_must_be_a_power_of_two() -> None:
    with pytest.raises(ValueError, match="steps wide"):
        envelope(Curve.of([1.0]), 3)


@given(curves(), st.integers(0, 200), st.sampled_from([1, 2, 8, 64]))
def test_growing_a_curve_changes_no_bin_but_the_last(curve: Curve, size: int, width: int) -> None:
    shorter = envelope(Curve(curve.steps[:size], curve.values[:size]), width)
    longer = envelope(curve, width)
    done = max(len(shorter.steps) - 1, 0)
    for name in ("steps", "first", "low", "high", "last"):
        np.testing.assert_array_equal(getattr(shorter, name)[:done], getattr(longer, name)[:done])


@given(curves(), st.sampled_from([1, 2, 8, 64]))
def test_twice_the_width_joins_whole_bins(curve: Curve, width: int) -> None:
    narrow, wide = envelope(curve, width), envelope(curve, 2 * width)
    home = np.floor_divide(narrow.steps, 2 * width)
    for at, key in enumerate(np.unique(home)):
        assert np.array_equal(np.fmax.reduce(narrow.high[home == key]), wide.high[at], equal_nan=True)
        assert np.array_equal(np.fmin.reduce(narrow.low[home == key]), wide.low[at], equal_nan=True)
