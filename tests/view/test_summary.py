"""Runs to rows: grouping, counting, ranking, comparing."""

import math
from dataclasses import replace

import numpy as np
import pytest
from bench_samples import EXPERIMENT, runs_of
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnprop_cli.view.table.rows import Counts
from rnnprop_cli.view.table.summary import summarize

NAN = math.nan


def rows(*groups):
    return summarize(EXPERIMENT, [run for group in groups for run in group]).rows


def test_a_row_has_the_mean_over_its_seeds_with_interval_and_facts():
    (row,) = rows(runs_of("adam", [0.3, 0.31, 0.32]))
    assert row.final.mean.centre == pytest.approx(0.31)
    assert row.final.mean.low < 0.3
    assert row.final.mean.high > 0.32
    assert (row.bench, row.problem.dataset, row.problem.optimizee, row.problem.depth) == (
        "demo",
        "mnist",
        "mlp",
        1,
    )
    assert (row.optimizer, row.learning_rate) == ("adam", 0.03125)
    assert row.counts == Counts(seeds=3, diverged=0, stuck=0, failed=0, missing=0)
    assert (row.heldout.loss.centre, row.heldout.accuracy.centre) == (pytest.approx(1.31), 0.75)
    assert row.cost.elapsed_s == 2.0


def test_diverged_failed_and_missing_runs_are_counted_and_stay_out_of_the_mean():
    (row,) = rows(runs_of("adam", [0.5, NAN, 0.5, "failed", "queued", "interrupted", "running"]))
    assert row.counts == Counts(seeds=3, diverged=1, stuck=0, failed=1, missing=3)
    assert row.counts.planned == 7
    assert row.final.mean.centre == 0.5
    assert row.final.median.centre == 0.5


@pytest.mark.parametrize("loss", [math.inf])
def test_a_done_run_whose_final_loss_is_not_finite_counts_as_diverged(loss):
    (row,) = rows(runs_of("adam", [0.5, loss]))
    assert (row.counts.seeds, row.counts.diverged, row.final.mean.centre) == (2, 1, 0.5)


def test_a_row_with_diverged_runs_ranks_behind_all_without_and_one_without_results_has_no_rank():
    table = rows(
        runs_of("nothing", ["queued"] * 4),
        runs_of("all lost", [NAN] * 4),
        runs_of("mostly lost", [0.01, NAN, NAN, NAN]),
        runs_of("once lost", [0.02, 0.02, 0.02, NAN]),
        runs_of("worse", [0.9] * 4),
        runs_of("better", [0.8] * 4),
    )
    order = [(row.optimizer, row.rank) for row in table]
    assert order == [
        ("better", 1),
        ("worse", 2),
        ("once lost", 3),
        ("mostly lost", 4),
        ("all lost", 5),
        ("nothing", None),
    ]


def test_every_row_is_compared_with_the_best_tuned_baseline_by_seed():
    base = [0.30, 0.32, 0.34]
    table = rows(
        runs_of("learned", [0.27, 0.288, 0.306], is_baseline=False),
        runs_of("adam", base),
        runs_of("sgd", [0.4, 0.31, 0.4]),
        runs_of("lucky default", [0.1, 0.1, 0.1], phase="default"),
    )
    by_name = {row.optimizer: row for row in table}
    assert [name for name, row in by_name.items() if row.is_best_baseline] == ["adam"]
    learned, sgd = by_name["learned"], by_name["sgd"]
    assert learned.comparison.baseline == "adam"
    assert learned.comparison.percent.centre == pytest.approx(-10)
    assert (learned.comparison.better, learned.comparison.pairs) == (3, 3)
    assert (sgd.comparison.better, sgd.comparison.pairs) == (1, 3)
    assert by_name["lucky default"].comparison.better == 3
    assert by_name["adam"].comparison is None


def test_a_baseline_that_never_diverged_is_the_reference_even_if_another_has_a_lower_mean():
    table = rows(runs_of("wild", [0.1, 0.1, NAN]), runs_of("tame", [0.2, 0.2, 0.2]))
    assert [row.optimizer for row in table if row.is_best_baseline] == ["tame"]


def test_without_a_tuned_baseline_nothing_is_compared():
    table = rows(
        runs_of("learned", [0.1], is_baseline=False),
        runs_of("adam", [0.2], phase="default"),
        runs_of("sgd", ["failed"]),
    )
    assert {row.comparison for row in table} == {None}
    assert not any(row.is_best_baseline for row in table)


def test_problems_are_told_apart_by_dataset_horizon_optimizee_depth_and_activation():
    groups = [
        runs_of("adam", [0.1]),
        runs_of("adam", [0.2], dataset="digits"),
        runs_of("adam", [0.3], horizon=2000),
        runs_of("adam", [0.4], depth=2),
        runs_of("adam", [0.5], optimizee="mlp", activation="elu"),
        runs_of("adam", [0.6], dataset=None, optimizee="quadratic 20", depth=None, activation=None),
    ]
    summary = summarize(EXPERIMENT, [run for group in groups for run in group])
    assert [(problem.title, len(rows)) for problem, rows in summary.problems] == [
        ("mnist · mlp sigmoid · depth 1 · 100 steps", 1),
        ("mnist · mlp elu · depth 1 · 100 steps", 1),
        ("mnist · mlp sigmoid · depth 2 · 100 steps", 1),
        ("quadratic 20 · 100 steps", 1),
        ("digits · mlp sigmoid · depth 1 · 100 steps", 1),
        ("mnist · mlp sigmoid · depth 1 · 2,000 steps", 1),
    ]
    assert [rows[0].group for _, rows in summary.problems] == [
        "in-distribution",
        "activation",
        "depth",
        "architecture",
        "dataset",
        "horizon",
    ]
    assert all(row.rank == 1 for row in summary.rows)


def test_runs_at_two_learning_rates_are_never_averaged():
    assert len(rows(runs_of("adam", [0.1, 0.2]), runs_of("adam", [0.3, 0.4], lr=0.5))) == 2


def test_tuning_runs_make_no_rows_but_are_added_to_the_row_that_they_tuned():
    assert rows(runs_of("adam", [0.1], phase="tuning")) == ()
    table = rows(
        runs_of("adam", [0.3, 0.5], lr=0.1),
        runs_of("adam", [0.4], phase="default", lr=0.001),
        runs_of("adam", [2.0, NAN, 2.302, "failed"], phase="tuning", lr=0.2, lr_source="tuned"),
        runs_of("adam", [0.2, 0.4], phase="tuning", lr=0.1, lr_source="tuned"),
        runs_of("sgd", [0.2, 0.4], phase="tuning", lr=0.3, lr_source="tuned"),
    )
    by_phase = {row.phase: row for row in table}
    assert by_phase["default"].search.rates == ()
    low, high = by_phase["final"].search.rates
    assert (low.learning_rate, low.loss.centre, low.lowest, low.highest) == (
        0.1,
        pytest.approx(0.3),
        0.2,
        0.4,
    )
    assert (high.learning_rate, high.counts) == (
        0.2,
        Counts(seeds=3, diverged=1, stuck=1, failed=1, missing=0),
    )


def test_a_classification_that_ends_no_better_than_guessing_is_counted_as_stuck_and_stays_in_the_mean():
    (row,) = rows(runs_of("adam", [0.3, 2.3026, 2.2566, 2.2565, 13.5]))
    assert row.counts.stuck == 3  # 0.98 ln 10 = 2.25653...
    assert row.final.mean.centre == pytest.approx((0.3 + 2.3026 + 2.2566 + 2.2565 + 13.5) / 5)
    (regression,) = rows(
        runs_of("adam", [5.0], dataset=None, optimizee="lstm noise 0.1", depth=1, activation=None)
    )
    assert regression.counts.stuck == 0


def test_a_rate_that_the_spec_gives_is_no_tuned_baseline():
    table = rows(runs_of("sgd", [0.1], lr_source="given"), runs_of("adam", [0.2]))
    assert [row.optimizer for row in table if row.is_best_baseline] == ["adam"]


def test_time_to_the_target_is_the_median_over_all_seeds_and_counts_those_that_never_get_there():
    steps = np.arange(100)
    curves = {0: np.full(100, 1.0), 1: np.where(steps < 40, 1.0, 1e-9), 2: np.full(100, 0.2)}
    load = {run: (steps, values) for run, values in curves.items()}
    runs = runs_of("adam", [0.3, 0.3, 0.3])
    (row,) = summarize(EXPERIMENT, runs, lambda ids: {run: load[run] for run in ids}).rows
    assert (row.target.loss, row.target.time.share) == (0.3, pytest.approx(2 / 3))
    # log y falls by 20.7 at step 40, of which the average takes a tenth at once: past log 0.3 in one step
    assert row.target.time.steps == 40
    assert row.target.time.seconds == pytest.approx(40 * 2.0 / 100)
    (unread,) = summarize(EXPERIMENT, runs).rows
    assert (unread.target.time.steps, unread.target.time.share) == (None, None)


outcomes = st.lists(
    st.one_of(st.floats(1e-6, 1e6), st.just(NAN), st.sampled_from(["failed", "queued", "running"])),
    min_size=1,
    max_size=8,
)


@settings(deadline=None)
@given(st.lists(outcomes, min_size=1, max_size=5), st.randoms())
def test_every_run_is_counted_once_and_the_order_of_runs_does_not_matter(groups, random):
    runs = [run for number, group in enumerate(groups) for run in runs_of(f"o{number}", group)]
    summary = summarize(EXPERIMENT, runs)
    assert sum(row.counts.planned for row in summary.rows) == len(runs)
    assert [row.rank for row in summary.rows if row.rank] == list(
        range(1, 1 + sum(row.counts.seeds > 0 for row in summary.rows))
    )
    shuffled = list(runs)
    random.shuffle(shuffled)
    again = summarize(EXPERIMENT, shuffled)
    names = [(row.optimizer, row.rank, row.counts.seeds, row.counts.diverged) for row in summary.rows]
    assert names == [(row.optimizer, row.rank, row.counts.seeds, row.counts.diverged) for row in again.rows]


def test_guessing_costs_what_was_recorded_whatever_the_dataset_is_called():
    def at_chance(recorded: float | None) -> int:
        runs = runs_of("adam", [0.65, 0.69, 0.75], dataset="mnist")
        config = {"environment": {"chance_loss": recorded}}
        (row,) = rows([replace(run, config=config) for run in runs])
        return row.counts.stuck

    assert at_chance(math.log(2)) == 2
    assert at_chance(None) == 0
