"""What a row says of its search: ties, promises, and by what the best baseline was chosen."""

from dataclasses import replace

import pytest
from bench_samples import EXPERIMENT, runs_of

from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.table.remarks import remarks
from rnnprop_cli.view.table.rows import SummaryRow
from rnnprop_cli.view.table.summary import summarize

GRID, CONFIRMED = 3, 10
NOISE = [0.001 * (-1) ** number for number in range(GRID + CONFIRMED)]


def search(optimizer: str, losses: dict[float, float], confirmed: dict[float, float]) -> list[RunInfo]:
    """A grid on three seeds and the confirmation of some of its rates on ten more."""
    runs = []
    for rate, loss in losses.items():
        values = [loss + error for error in NOISE[:GRID]]
        values += [confirmed[rate] + error for error in NOISE[GRID:]] if rate in confirmed else []
        found = runs_of(optimizer, values, phase="tuning", lr=rate, lr_source="tuned")
        # seeds are hashes: neither in order, nor those of the final runs
        runs += [replace(r, facts=replace(r.facts, seed=1000 + 7 * r.facts.seed % 13)) for r in found]
    return runs


def final(optimizer: str, rate: float, loss: float) -> list[RunInfo]:
    return runs_of(optimizer, [loss + error for error in NOISE], lr=rate)


def rows(*groups: list[RunInfo]) -> dict[str, SummaryRow]:
    return {
        row.optimizer: row for row in summarize(EXPERIMENT, [run for each in groups for run in each]).rows
    }


ELU = search(
    "adam",
    {0.01: 0.31, 0.02: 0.2722, 0.03: 0.2720, 0.04: 0.2716, 0.06: 0.30},
    {0.02: 0.246, 0.03: 0.246, 0.04: 0.271},
)


def test_the_promise_is_that_of_the_runs_which_confirmed_the_rate() -> None:
    row = rows(final("adam", 0.02, 0.2465), ELU)["adam"]
    assert row.search.runs == 5 * GRID + 3 * CONFIRMED
    assert row.search.promised.centre == pytest.approx(0.246)
    assert row.search.promised.low < 0.246 < row.search.promised.high
    assert row.search.tied == (0.02, 0.03)
    assert not row.search.promise_broken
    assert any("45 runs, 0.02, 0.03 tie" in text for text in remarks([row]))


def test_a_promise_that_fresh_seeds_break_is_told() -> None:
    row = rows(final("adam", 0.02, 0.29), ELU)["adam"]
    assert row.search.promise_broken
    (warning,) = [text for text in remarks([row]) if "promised" in text]
    assert "0.246" in warning
    assert "0.29" in warning


def test_a_search_that_confirmed_nothing_promises_by_its_grid() -> None:
    row = rows(final("adam", 0.02, 0.2722), search("adam", {0.01: 0.3, 0.02: 0.2722, 0.03: 0.31}, {}))["adam"]
    assert row.search.promised.centre == pytest.approx(0.2722, abs=1e-3)


def test_the_best_baseline_is_the_one_of_the_lowest_promise_not_of_the_luckiest_seeds() -> None:
    rates = {0.01: 0.4, 0.02: 0.30, 0.04: 0.4}
    adam = search("adam", rates, {0.01: 0.4, 0.02: 0.300, 0.04: 0.4})
    sgd = search("sgd", rates, {0.01: 0.4, 0.02: 0.305, 0.04: 0.4})
    found = rows(adam, sgd, final("adam", 0.02, 0.304), final("sgd", 0.02, 0.299))
    assert found["sgd"].rank == 1
    assert found["adam"].is_best_baseline
    assert found["sgd"].comparison.baseline == "adam"
    assert found["adam"].baseline_chosen_by == "tuning runs"
    assert not any("compared seeds" in text for text in remarks([*found.values()]))


def test_a_baseline_chosen_on_the_compared_seeds_is_told() -> None:
    found = rows(final("adam", 0.02, 0.304), final("sgd", 0.02, 0.299))
    assert found["sgd"].is_best_baseline
    assert any(
        "sgd is the lowest of 2 baselines on the compared seeds" in t for t in remarks([*found.values()])
    )


def test_a_rate_that_failed_a_tuning_run_promises_nothing() -> None:
    broken = [
        replace(r, result=replace(r.result, status="diverged")) if r.facts.lr == 0.02 and r.id == 0 else r
        for r in ELU
    ]
    row = rows(final("adam", 0.02, 0.2465), broken)["adam"]
    assert row.search.tied == (0.03,)
