"""The search by populations: it finds minima, follows from its fitnesses, and compares fairly."""

import numpy as np
import pytest

from rnnprop_cli.meta.evolution import CMA, Array, relative_fitness

TARGET = np.array([1.0, -2.0, 0.5])


def distances(asked: Array) -> Array:
    found: Array = np.square(asked - TARGET).sum(1)
    return found


def test_it_finds_the_minimum_of_a_bowl() -> None:
    search = CMA(np.zeros(3), 0.5, 10, seed=1)
    for _ in range(60):
        search.tell(distances(search.ask()))
    assert search.result() == pytest.approx(TARGET, abs=0.02)


def test_it_follows_from_its_seed_and_its_fitnesses_alone() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    whole = CMA(np.zeros(3), 0.5, 8, seed=4)
    asked = []
    for _ in range(9):
        asked.append(whole.ask())
        whole.tell(distances(asked[-1]))
    again = CMA(np.zeros(3), 0.5, 8, seed=4, fitness_GL=np.array(whole.history[:5]))
    for number in range(5, 9):
        assert np.array_equal(again.ask(), asked[number])
        again.tell(distances(asked[number]))
    assert np.array_equal(again.result(0.5), whole.result(0.5))
    assert np.random.get_state()[1].tolist() == before
    assert not np.array_equal(CMA(np.zeros(3), 0.5, 8, seed=5).ask(), asked[0])


def test_the_result_is_the_mean_of_the_last_means() -> None:
    search = CMA(np.zeros(3), 0.5, 8, seed=1)
    assert search.result(0.5).tolist() == [0.0, 0.0, 0.0]  # before the first generation
    means = []
    for _ in range(5):
        search.tell(distances(search.ask()))
        means.append(search.result())
    assert search.result(0.5) == pytest.approx(np.mean(means[2:], axis=0))
    assert search.result(1.0) == pytest.approx(np.mean(means, axis=0))


def test_candidates_are_compared_draw_by_draw_and_a_draw_counts_so_much_at_most() -> None:
    losses_DL = np.array([[1.0, 2.0, 4.0], [1e-7, 1e-4, 1e-4]])
    assert relative_fitness(losses_DL, 1.0) == pytest.approx([(-np.log(2) - 1) / 2, 0.0, np.log(2) / 2])


def test_what_is_solved_is_solved() -> None:
    assert relative_fitness(np.array([[0.0, 1e-12, 1e-9]]), 1.0).tolist() == [0.0, 0.0, 0.0]


def test_who_diverges_is_behind_who_does_not() -> None:
    losses_DL = np.array([[1.0, np.nan, np.inf, 1.1, 0.9]])
    assert relative_fitness(losses_DL, 0.5).tolist()[1:3] == [0.5, 0.5]
    all_but_one = np.array([[3.0, np.nan, np.inf, np.nan]])
    assert relative_fitness(all_but_one, 0.5).tolist() == [-0.5, 0.0, 0.0, 0.0]
    assert relative_fitness(np.full((2, 3), np.nan), 0.5).tolist() == [0.0, 0.0, 0.0]
