"""Tasks and horizons of meta-iterations are drawn as the recipe says, and always alike."""

from collections import Counter
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.meta.draws import draw
from rnnprop_cli.spec.horizons import LogUniform, drawn, longest, misfit
from rnnprop_cli.spec.train import TrainSpec

N = 3000


def spec(**settings: object) -> TrainSpec:
    return TrainSpec.model_validate({"name": "t", "optimizer": RNNpropSpec(), **settings})


def test_one_task_of_one_horizon_is_all_there_is() -> None:
    assert {draw(spec(), number) for number in range(50)} == {(0, 100, 20)}


def test_tasks_come_as_often_as_their_weights_say_and_those_of_weight_0_never() -> None:
    tasks = [
        {"kind": "mlp", "weight": 3.0},
        {"kind": "quadratic", "weight": 0.0},
        {"kind": "quadratic", "weight": 1.0, "horizon": 40, "unroll": 8},
    ]
    drawn_here = [draw(spec(optimizees=tasks), number) for number in range(N)]
    counts = Counter(drawn_here)
    assert counts.keys() == {(0, 100, 20), (2, 40, 8)}
    assert counts[0, 100, 20] / N == pytest.approx(0.75, abs=0.03)  # four standard deviations
    assert drawn_here == [draw(spec(optimizees=tasks), number) for number in range(N)]
    assert drawn_here != [draw(spec(optimizees=tasks, seed=1), number) for number in range(N)]


def test_a_log_uniform_horizon_has_as_many_below_its_geometric_middle_as_above() -> None:
    range_ = {"horizon": {"log_uniform": [20, 2000]}, "unroll": 10}
    found = [draw(spec(truncation=range_), number).horizon for number in range(N)]
    assert min(found) == 20
    assert max(found) > 1900
    assert all(each % 10 == 0 and 20 <= each <= 2000 for each in found)
    assert sum(log(each) < log(200) for each in found) / N == pytest.approx(0.5, abs=0.04)


def test_a_listed_horizon_is_one_of_the_list() -> None:
    found = Counter(draw(spec(truncation={"horizon": [20, 60, 100]}), number).horizon for number in range(N))
    assert found.keys() == {20, 60, 100}
    assert min(found.values()) > N / 3 - 120  # four standard deviations


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 40), st.floats(0, 1, exclude_max=True))
def test_what_is_drawn_from_a_range_lies_in_it_and_is_whole_windows(
    low: int, width: int, unroll: int, share: float
) -> None:
    horizon = LogUniform(log_uniform=(low, low + width))
    if misfit(horizon, unroll) is None:
        steps = drawn(horizon, unroll, share)
        assert low <= steps <= longest(horizon, unroll) <= low + width
        assert steps % unroll == 0
    else:
        assert not any(steps % unroll == 0 for steps in range(low, low + width + 1))
