import pytest

from rnnprop_cli.components.optimizers.schedules import build_schedule


def test_constant_stays_at_one() -> None:
    factor = build_schedule("constant", 10, 0.05)
    assert [factor(count) for count in range(10)] == [1.0] * 10


def test_cosine_falls_from_one_to_zero() -> None:
    factor = build_schedule("cosine", 100, 0.05)
    values = [factor(count) for count in range(101)]
    assert values[0] == 1.0
    assert values[50] == pytest.approx(0.5)
    assert values[100] == pytest.approx(0.0)
    assert values == sorted(values, reverse=True)


def test_warmup_rises_linearly_then_follows_the_cosine() -> None:
    factor = build_schedule("linear-warmup-cosine", 100, 0.1)
    values = [factor(count) for count in range(100)]
    assert values[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
    assert values[10] == 1.0
    assert max(values) == 1.0
    assert values[99] < 0.01


def test_a_horizon_of_one_step_has_a_positive_rate() -> None:
    for name in ("constant", "cosine", "linear-warmup-cosine", "wsd"):
        assert build_schedule(name, 1, 0.5)(0) > 0  # type: ignore[arg-type]


def test_wsd_rises_stays_and_falls_linearly_to_zero_behind_the_last_step() -> None:
    factor = build_schedule("wsd", 100, 0.1, 0.2)
    values = [factor(count) for count in range(101)]
    assert values[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
    assert values[10:81] == [1.0] * 71
    assert values[80:101] == pytest.approx([1 - k / 20 for k in range(21)])
    held = build_schedule("wsd", 100, 0.0, 0.0)
    assert [held(count) for count in range(100)] == [1.0] * 100
