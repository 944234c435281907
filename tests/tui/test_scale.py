import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprop_cli.tui.plot.labels import spread, without_overlap
from rnnprop_cli.tui.plot.scale import Axis, AxisKind, fit, format_number, nice_step, ticks

kinds: list[AxisKind] = ["linear", "log"]
anything = st.floats(allow_nan=True, allow_infinity=True)


def labels(axis: Axis, most: int) -> list[str]:
    return [tick.label for tick in ticks(axis, most)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1, "1"), (0.1, ".1"), (0.01, ".01"), (1e-3, "1e-3"), (2.5e-5, "2.5e-5"), (2000, "2,000"),
        (123456, "123,456"), (1e6, "1e6"), (-0.25, "-.25"), (-3e7, "-3e7"), (0.99999, "1"), (999999.9, "1e6"),
        (math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan"), (5e-324, "4.94e-324"),
    ],
)  # fmt: skip
def test_numbers_are_written_short(value: float, text: str) -> None:
    assert format_number(value) == text


def test_linear_ticks_are_round() -> None:
    assert labels(Axis(0, 10_000), 6) == ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]


def test_log_ticks_are_decades() -> None:
    assert labels(Axis(1e-4, 2, "log"), 6) == ["1e-4", "1e-3", ".01", ".1", "1"]


def test_many_decades_are_thinned_evenly() -> None:
    assert labels(Axis(1e-20, 1e10, "log"), 4) == ["1e-20", "1e-10", "1", "1e10"]


def test_few_decades_get_the_1_2_5_series() -> None:
    assert labels(Axis(0.02, 0.5, "log"), 6) == [".02", ".05", ".1", ".2", ".5"]


@pytest.mark.parametrize(("most", "expected"), [(4, [".02", ".1", ".5"]), (2, [".02", ".2"])])
def test_where_they_do_not_fit_some_of_them_stay(most: int, expected: list[str]) -> None:
    assert labels(Axis(0.02, 0.7, "log"), most) == expected


def test_a_narrow_log_axis_gets_linear_ticks_with_digits_enough() -> None:
    assert labels(Axis(1.00001, 1.00003, "log"), 3) == ["1.00001", "1.00002", "1.00003"]


@pytest.mark.parametrize("kind", kinds)
def test_nothing_to_show_still_gives_an_axis(kind: AxisKind) -> None:
    for values in ([], [math.nan], [math.inf, -math.inf]):
        assert fit(values, kind).low < fit(values, kind).high


@pytest.mark.parametrize("kind", kinds)
def test_a_constant_lies_inside_its_axis(kind: AxisKind) -> None:
    for value in (3.0, 1.0, 1e-9):
        assert 0 <= fit([value, value], kind).fraction(value) <= 1
    assert 0 < fit([5.0]).fraction(5.0) < 1


def test_zeros_and_negatives_do_not_stretch_a_log_axis_and_lie_below_it() -> None:
    axis = fit([0.0, -5.0, 0.013, 0.9], "log")
    assert (axis.low, axis.high) == (pytest.approx(0.01), pytest.approx(1.0))
    assert axis.fractions([0.0, -1.0]).tolist() == [-math.inf, -math.inf]
    assert math.isnan(axis.fraction(math.nan))


def test_growing_data_inside_a_round_interval_do_not_move_the_axis() -> None:
    assert fit([0.2, 2.3], "log") == fit([0.21, 2.2, 3.0], "log") == Axis(0.2, 5.0, "log")


def test_an_axis_without_extent_is_refused() -> None:
    for low, high, kind in ((1, 1, "linear"), (0, 1, "log"), (0, math.inf, "linear")):
        with pytest.raises(ValueError, match="axis"):
            Axis(low, high, kind)  # type: ignore[arg-type]


@given(st.lists(anything, max_size=20), st.sampled_from(kinds), st.integers(0, 20))
def test_any_values_fit_with_ticks_inside_and_all_different(
    values: list[float], kind: AxisKind, most: int
) -> None:
    axis = fit(values, kind)
    shown = [value for value in values if math.isfinite(value) and (kind == "linear" or value >= 1e-300)]
    fractions = axis.fractions([value for value in shown if abs(value) <= 1e300])
    # A value may lie on an end of the axis, give or take rounding.
    assert ((fractions >= -1e-6) & (fractions <= 1 + 1e-6)).all()
    marks = ticks(axis, most)
    assert len(marks) <= most
    assert len({mark.label for mark in marks}) == len(marks)
    assert all(-1e-6 <= axis.fraction(mark.value) <= 1 + 1e-6 for mark in marks)
    assert [mark.value for mark in marks] == sorted(mark.value for mark in marks)


@given(st.floats(1e-12, 1e12), st.floats(1.001, 1e6), st.sampled_from(kinds), st.floats(0, 1))
def test_value_is_the_inverse_of_fraction(low: float, ratio: float, kind: AxisKind, fraction: float) -> None:
    axis = Axis(low, low * ratio, kind)
    # A ratio of 1.001 costs three of sixteen digits, the logarithm of 1e12 two more.
    assert axis.fraction(axis.value(fraction)) == pytest.approx(fraction, abs=1e-9)


@given(st.floats(1e-300, 1e300))
def test_nice_steps_are_1_2_or_5_and_not_too_long(least: float) -> None:
    step = nice_step(least)
    assert least * (1 - 1e-6) <= step <= 2.5 * least * (1 + 1e-6)
    assert f"{step:.6e}"[0] in "125"


# Labels that want one place


def test_crowded_labels_move_apart_together() -> None:
    assert spread([3, 3, 3, 9], 12) == [2, 3, 4, 9]


def test_labels_that_do_not_fit_are_left_out() -> None:
    assert spread([0, 0, 0], 2) == [0, 1, None]
    assert spread([0], 0) == [None]


@given(st.lists(st.floats(0, 19), max_size=20))
def test_spread_labels_have_rows_of_their_own_in_order(wanted: list[float]) -> None:
    placed = spread(wanted, 20)
    rows = [row for row in placed if row is not None]
    assert len(set(rows)) == len(rows) == len(wanted)
    assert all(0 <= row < 20 for row in rows)
    assert [row for _, _, row in sorted(zip(wanted, range(len(wanted)), rows, strict=True))] == sorted(rows)


def test_tick_labels_stay_inside_and_apart() -> None:
    placed = without_overlap([(0, "0"), (3, "1,000"), (9, "2,000"), (19, "3,000")], 20)
    assert placed == [(0, "0"), (7, "2,000"), (15, "3,000")]
    assert without_overlap([(0, "2,000")], 3) == []
