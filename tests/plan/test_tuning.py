from math import inf

from hypothesis import given
from hypothesis import strategies as st

from rnnprop_cli.plan.tuning import best_k, first_round, grid_rate, mean_or_inf, next_round
from rnnprop_cli.spec.bench import TuningSpec

SPEC = TuningSpec(points=5, extend_by=2, max_rounds=4)


def search(spec: TuningSpec, centre: int, optimum: int | None) -> dict[int, float]:
    """Runs a whole search on a loss with one minimum; None: nothing works."""
    tried: dict[int, float] = {}
    ks = first_round(spec, centre)
    while ks:
        assert not set(ks) & set(tried)
        tried |= {k: inf if optimum is None else float(abs(k - optimum)) for k in ks}
        ks = next_round(spec, tried)
    return tried


def test_the_grid_halves_every_second_point() -> None:
    assert grid_rate(10) == 0.03125
    assert grid_rate(12) == 0.015625
    assert grid_rate(-4) == 4.0


def test_a_best_rate_inside_ends_the_search() -> None:
    assert next_round(SPEC, {k: float(abs(k - 10)) for k in first_round(SPEC, 10)}) == ()


def test_a_best_rate_at_an_edge_widens_the_search_on_that_side() -> None:
    assert next_round(SPEC, {8: 1.0, 9: 2.0, 10: 3.0, 11: 4.0, 12: 5.0}) == (6, 7)
    assert next_round(SPEC, {8: 5.0, 9: 4.0, 10: 3.0, 11: 2.0, 12: 1.0}) == (13, 14)


def test_where_everything_fails_smaller_rates_are_tried() -> None:
    assert next_round(SPEC, dict.fromkeys((8, 9, 10, 11, 12), inf)) == (13, 14)


def test_the_smaller_of_two_equal_rates_wins() -> None:
    assert best_k({8: 1.0, 9: 1.0}) == 9


def test_a_rate_with_one_failed_seed_counts_as_failed() -> None:
    assert mean_or_inf([0.1, None]) == inf
    assert mean_or_inf([0.1, float("nan")]) == inf
    assert mean_or_inf([]) == inf
    assert mean_or_inf([0.1, 0.3]) == 0.2


@given(st.integers(-20, 30), st.integers(-40, 50))
def test_a_search_finds_any_optimum_within_its_reach_and_always_ends(centre: int, optimum: int) -> None:
    spec = TuningSpec(points=9, extend_by=3, max_rounds=6)
    tried = search(spec, centre, optimum)
    reach = 4 + 5 * 3
    if abs(optimum - centre) <= reach:
        assert best_k(tried) == optimum
    assert len(tried) <= 9 + 5 * 3


@given(st.integers(-20, 30))
def test_a_search_where_nothing_works_ends_too(centre: int) -> None:
    assert best_k(search(SPEC, centre, None)) is None
