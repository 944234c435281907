from dataclasses import replace

import pytest
from bench_samples import EXPERIMENT, runs_of

from rnnprop_cli.statistics import Estimate
from rnnprop_cli.view.table.rows import SummaryRow
from rnnprop_cli.view.table.summary import summarize
from rnnprop_cli.view.table.verdicts import chance_sentence, leads, verdict

NAN = float("nan")
BASE = [0.30, 0.32, 0.34, 0.31]


def table(*groups: list) -> dict[str, SummaryRow]:
    return {row.label: row for row in summarize(EXPERIMENT, [run for each in groups for run in each]).rows}


def learned(name: str, losses: list[float], **facts: object) -> list:
    return runs_of(name, losses, is_baseline=False, **facts)


def test_a_win_needs_its_whole_interval_below_zero() -> None:
    rows = table(
        runs_of("adam", BASE),
        learned("sure", [loss - 0.02 for loss in BASE]),
        learned("lower, but not surely", [0.20, 0.33, 0.35, 0.30]),
        learned("worse", [loss + 0.02 for loss in BASE]),
        learned("once lost", [0.1, 0.1, 0.1, NAN]),
        learned("all lost", [NAN] * 4),
    )
    assert {name: verdict(row) for name, row in rows.items()} == {
        "adam": None,
        "sure": "win",
        "lower, but not surely": "open",
        "worse": "loss",
        "once lost": "open",
        "all lost": "loss",
    }
    assert rows["lower, but not surely"].comparison.percent.centre < 0
    assert [name for name, row in rows.items() if leads(row, [*rows.values()])] == ["sure"]


def test_who_is_at_chance_wins_nothing() -> None:
    rows = table(runs_of("adam", [2.3026] * 4), learned("lower", [2.3016, 2.3015, 2.3014, 2.3016]))
    assert rows["lower"].comparison.percent.high < 0
    assert verdict(rows["lower"]) == "open"
    rows = table(runs_of("adam", [2.3016, 2.3015, 2.3014, 2.3016]), learned("higher", [2.3026] * 4))
    assert not leads(rows["adam"], [*rows.values()])


def test_one_seed_decides_nothing() -> None:
    rows = table(runs_of("adam", [0.3]), learned("new", [0.1]))
    assert verdict(rows["new"]) == "open"
    assert not any(leads(row, [*rows.values()]) for row in rows.values())


def test_the_best_baseline_leads_where_all_others_lose_to_it_untuned_ones_aside() -> None:
    worse = learned("new", [loss + 0.05 for loss in BASE])
    untuned = runs_of("adam", [0.1, 0.9, 0.1, 0.9], phase="default")
    rows = table(runs_of("adam", BASE), worse, untuned)
    assert leads(rows["adam"], [*rows.values()])
    rows = table(runs_of("adam", BASE), worse, learned("open", [0.2, 0.4, 0.3, 0.3]))
    assert not leads(rows["adam"], [*rows.values()])


def test_where_nothing_is_compared_nothing_leads() -> None:
    rows = table(learned("alone", [0.1, 0.1]))
    assert verdict(rows["alone"]) is None
    assert not leads(rows["alone"], [*rows.values()])


def test_wins_that_chance_alone_would_give_are_counted() -> None:
    runs = []
    for depth in range(1, 9):
        shift = -0.02 if depth <= 3 else 0.02
        runs += runs_of("adam", BASE, depth=depth)
        runs += learned("new", [loss + shift for loss in BASE], depth=depth)
    rows = summarize(EXPERIMENT, runs).rows
    sentence = chance_sentence(rows)
    assert sentence is not None
    assert "Of 8 comparisons of learned optimizers" in sentence
    assert "0 open" in sentence
    assert "3 wins, 5 losses" in sentence
    assert "about 0.2 wins" in sentence
    assert chance_sentence(rows[:2]) is None


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(-1.0, -1e-9, "win"), (-1.0, 0.0, "open"), (0.0, 1.0, "open"), (1e-9, 1.0, "loss")],
)
def test_an_interval_that_touches_zero_holds_it(low: float, high: float, found: str) -> None:
    row = table(runs_of("adam", BASE), learned("new", BASE))["new"]
    found_here = replace(row.comparison, percent=Estimate((low + high) / 2, low, high))
    assert verdict(replace(row, comparison=found_here)) == found
