from collections.abc import Callable
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprop_cli.plan.tuning import (
    Round,
    best_k,
    contenders,
    first_round,
    grid_rate,
    mean_or_inf,
    next_round,
)
from rnnprop_cli.spec.bench import TuningSpec

SPEC = TuningSpec(seeds=2, points=5, extend_by=2, max_rounds=4, confirm_seeds=3)


def search(spec: TuningSpec, centre: int, loss: Callable[[int, int], float]) -> dict[int, list[float]]:
    """Runs a whole search on the loss of (k, number of the tuning seed)."""
    tried: dict[int, list[float]] = {}
    part: Round | None = first_round(spec, centre)
    while part is not None:
        for k in part.ks:
            assert len(tried.get(k, [])) == part.seeds.start  # no run twice, none left out
            tried.setdefault(k, []).extend(loss(k, number) for number in part.seeds)
        part = next_round(spec, tried)
    return tried


def clear(**losses: float) -> dict[int, list[float]]:
    """Losses on both seeds of the grid that leave no doubt."""
    return {int(name[1:]): [loss, loss + 1e-9] for name, loss in losses.items()}


def test_the_grid_halves_every_second_point() -> None:
    assert grid_rate(10) == 0.03125
    assert grid_rate(12) == 0.015625
    assert grid_rate(-4) == 4.0


def test_the_best_three_are_confirmed_on_further_seeds_and_then_the_search_ends() -> None:
    tried = clear(k8=3, k9=2, k10=1, k11=2.5, k12=4)
    assert next_round(SPEC, tried) == Round((9, 10, 11), range(2, 5))
    confirmed = tried | {k: [*tried[k], *[tried[k][0]] * 3] for k in (9, 10, 11)}
    assert next_round(SPEC, confirmed) is None


def test_every_rate_that_may_be_as_good_as_the_best_is_confirmed() -> None:
    tried = clear(k8=5, k9=5, k10=1, k11=5, k12=5)
    tried[12] = [0.9, 6.0]  # better on one seed, much worse on the other
    assert 12 in contenders(tried)
    assert contenders(tried) == (10, 11, 12)  # and 11 so that there are three
    every = {k: [1.0 + 0.1 * (k == 9), 2.0 - 0.2 * (k == 9)] for k in range(8, 13)}
    assert contenders(every) == (8, 9, 10, 11, 12)


def test_confirmation_overrules_the_luck_of_few_seeds() -> None:
    """What happened on ELU: the rate that three seeds like best is much worse on others."""
    few = {9: [0.2716, 0.2710, 0.2722], 10: [0.2722, 0.2730, 0.2714], 11: [0.2722, 0.2712, 0.2732]}
    spec = TuningSpec(seeds=3, points=5)
    tried = {8: [0.31, 0.32, 0.31], **few, 12: [0.30, 0.31, 0.30]}
    assert best_k(tried) == 9
    more = {9: 0.271, 10: 0.246, 11: 0.247}
    confirmed = tried | {k: [*tried[k], *[loss] * 10] for k, loss in more.items()}
    assert next_round(spec, tried) == Round((9, 10, 11), range(3, 13))
    assert best_k(confirmed) == 10


def test_a_rate_that_was_not_confirmed_never_wins_over_one_that_was() -> None:
    assert best_k({8: [0.1, 0.1], 9: [0.3, 0.3, 0.3]}) == 9


def test_a_search_without_confirmation_ends_with_the_grid() -> None:
    grid_alone = SPEC.model_copy(update={"confirm_seeds": None})
    assert next_round(grid_alone, clear(k8=3, k9=2, k10=1, k11=2.5, k12=4)) is None


def test_a_best_rate_at_an_edge_widens_the_grid_on_that_side() -> None:
    assert next_round(SPEC, clear(k8=1, k9=2, k10=3, k11=4, k12=5)) == Round((6, 7), range(2))
    assert next_round(SPEC, clear(k8=5, k9=4, k10=3, k11=2, k12=1)) == Round((13, 14), range(2))


def test_a_winner_that_confirmation_moves_to_an_edge_widens_the_grid_too() -> None:
    tried = clear(k8=2, k9=1.9, k10=3, k11=4, k12=5)
    assert next_round(SPEC, tried) == Round((8, 9, 10), range(2, 5))
    confirmed = tried | {8: [*tried[8], 1, 1, 1], 9: [*tried[9], 2, 2, 2], 10: [*tried[10], 3, 3, 3]}
    assert next_round(SPEC, confirmed) == Round((6, 7), range(2))


def test_where_everything_fails_smaller_rates_are_tried() -> None:
    assert next_round(SPEC, {k: [inf, inf] for k in (8, 9, 10, 11, 12)}) == Round((13, 14), range(2))


def test_the_smaller_of_two_equal_rates_wins() -> None:
    assert best_k({8: [1.0], 9: [1.0]}) == 9


def test_a_rate_with_one_failed_seed_counts_as_failed() -> None:
    assert mean_or_inf([0.1, None]) == inf
    assert mean_or_inf([0.1, float("nan")]) == inf
    assert mean_or_inf([]) == inf
    assert mean_or_inf([0.1, 0.3]) == 0.2
    assert best_k({8: [0.1, inf], 9: [0.3, 0.3]}) == 9
    assert contenders({8: [0.1, inf], 9: [0.3, 0.3]}) == (9,)


def test_a_rate_that_fails_its_confirmation_is_out() -> None:
    tried = clear(k8=3, k9=2, k10=1, k11=2.5, k12=4)
    confirmed = tried | {10: [1, 1, inf, 1, 1], 9: [2, 2, 2, 2, 2], 11: [2.5] * 5}
    assert best_k(confirmed) == 9


@given(st.integers(-20, 30), st.integers(-40, 50))
def test_a_search_finds_any_optimum_within_its_reach_and_always_ends(centre: int, optimum: int) -> None:
    spec = TuningSpec(points=9, extend_by=3, max_rounds=6)
    tried = search(spec, centre, lambda k, _: float(abs(k - optimum)))
    reach = 4 + 5 * 3
    if abs(optimum - centre) <= reach:
        assert best_k(tried) == optimum
    assert len(tried) <= 9 + 5 * 3


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 3.0))
def test_a_search_under_any_noise_ends_with_a_confirmed_rate(seed: int, noise: float) -> None:
    errors = np.random.default_rng(seed).normal(size=(200, 13))
    tried = search(TuningSpec(), 10, lambda k, number: abs(k - 12) + noise * errors[k + 100, number])
    best = best_k(tried)
    assert best is not None
    assert len(tried[best]) == 13
    assert sum(len(losses) == 13 for losses in tried.values()) >= 3
    assert {len(losses) for losses in tried.values()} <= {3, 13}


@given(st.integers(-20, 30))
def test_a_search_where_nothing_works_ends_too(centre: int) -> None:
    assert best_k(search(SPEC, centre, lambda *_: inf)) is None


def test_a_confirming_search_needs_two_seeds_to_tell_rates_apart() -> None:
    with pytest.raises(ValueError, match=r"seeds = 1 .* at least 2 .*confirm_seeds = false"):
        TuningSpec(seeds=1)
    assert TuningSpec(seeds=1, confirm_seeds=None).seeds == 1
