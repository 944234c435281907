"""Performance profiles, against values found by hand."""

import math

import pytest
from bench_samples import EXPERIMENT, runs_of

from rnnprop_cli.view.table.profiles import ALL_PROBLEMS, profiles
from rnnprop_cli.view.table.summary import summarize

NAN = math.nan
LOSSES = {  # by depth
    1: {"learned": [1.0], "adam": [2.0], "sgd": [8.0]},
    2: {"learned": [3.0], "adam": [2.0], "sgd": [2.2]},
    3: {"learned": [1.0, NAN, NAN], "adam": [4.0]},
}


def found(losses=LOSSES):
    runs = [
        run
        for depth, by_optimizer in losses.items()
        for name, values in by_optimizer.items()
        for run in runs_of(name, values, depth=depth, is_baseline=name != "learned")
    ]
    return profiles(summarize(EXPERIMENT, runs).rows)


def test_a_profile_is_the_share_of_problems_within_a_factor_of_the_best():
    by_name = {one.optimizer: one for one in found() if one.group == ALL_PROBLEMS}
    assert by_name["adam"].ratios == (1.0, 1.0, 2.0)
    assert by_name["learned"].ratios == (1.0, 1.5, math.inf)  # two of three seeds diverged
    assert by_name["sgd"].ratios == (pytest.approx(1.1), 8.0, math.inf)  # was not run on one
    assert [by_name["adam"].share_within(factor) for factor in (1, 1.99, 2)] == [2 / 3, 2 / 3, 1]
    assert by_name["sgd"].share_within(1e9) == 2 / 3


def test_the_best_comes_first():
    assert [one.optimizer for one in found()] == ["adam", "learned", "sgd"]


def test_kinds_of_problems_are_apart_where_there_are_enough_of_each():
    assert {one.group for one in found()} == {ALL_PROBLEMS}
    many = {depth: {"adam": [1.0], "sgd": [2.0]} for depth in range(1, 5)}
    assert [one.group for one in found(many)] == [ALL_PROBLEMS, ALL_PROBLEMS, "depth", "depth"]
    assert [len(one.ratios) for one in found(many)] == [4, 4, 3, 3]


def test_there_is_none_of_too_few_problems():
    assert found({depth: LOSSES[depth] for depth in (1, 2)}) == []
    assert found({}) == []


def test_a_problem_that_was_solved_exactly_counts_for_who_did():
    exact = {depth: {"adam": [0.0], "sgd": [1e-9]} for depth in (1, 2, 3)}
    assert [(one.optimizer, one.ratios) for one in found(exact)][:2] == [
        ("adam", (1.0, 1.0, 1.0)),
        ("sgd", (math.inf, math.inf, math.inf)),
    ]


def test_a_problem_that_nobody_solved_takes_no_part():
    assert found({**LOSSES, 4: {"adam": [NAN], "sgd": [NAN]}})[0].ratios == (1.0, 1.0, 2.0)
