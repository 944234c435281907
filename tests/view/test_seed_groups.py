"""Groups of seeds: what belongs together, how it stands, and what is made of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from bench_samples import EXPERIMENT, runs_of

from rnnprop_cli.view.curves.curve import Band, Curve
from rnnprop_cli.view.curves.seed_lines import LineStyle, line_over_seeds
from rnnprop_cli.view.facts.log_lines import command_line, log_lines
from rnnprop_cli.view.figures.summary_figures import summary_figures
from rnnprop_cli.view.table.live import LiveGroups
from rnnprop_cli.view.table.pivot import column_choices, compared_groups, is_one_problem, pivot
from rnnprop_cli.view.table.rate_curves import best_point, rate_curves
from rnnprop_cli.view.table.summary import summarize


def numbered(*lots):
    runs = [run for lot in lots for run in lot]
    return [replace(run, id=number) for number, run in enumerate(runs, 1)]


def groups_of(*lots):
    return LiveGroups().groups(EXPERIMENT, numbered(*lots))


def learned(losses, **facts):
    return runs_of("rnnprop", losses, is_baseline=False, lr_source="own", lr=0.1, **facts)


def test_seeds_make_one_group_with_the_difference_to_the_best_tuned_baseline():
    best, rnnprop, other = groups_of(
        learned([0.3, 0.4]), runs_of("adam", [0.2, 0.3]), runs_of("sgd", [0.5, 0.6])
    )
    assert [best.facts.optimizer, rnnprop.facts.optimizer, other.facts.optimizer] == [
        "adam",
        "rnnprop",
        "sgd",
    ]
    assert best.is_best
    assert rnnprop.best_id == best.id
    assert rnnprop.row.comparison.baseline == "adam"
    assert rnnprop.row.comparison.percent.centre == pytest.approx(40)
    assert rnnprop.row.comparison.better == 0
    assert rnnprop.row.optimizer == "rnnprop"


def test_a_search_is_grouped_by_rate_and_compared_with_nothing():
    searches = [
        runs_of("adam", [loss, loss], phase="tuning", lr=rate) for rate, loss in ((0.1, 0.5), (0.01, 0.3))
    ]
    groups = groups_of(*searches, runs_of("adam", [0.2, 0.2]))
    assert [group.facts.lr for group in groups] == [0.03125, 0.01, 0.1]
    assert [group.row.final.mean.centre for group in groups] == pytest.approx([0.2, 0.3, 0.5])
    assert groups[1].row.comparison is None
    assert groups[1].row.rank is None
    assert groups[1].facts.phase == "tuning"


def test_weights_trained_anew_make_another_group_of_the_same_name():
    again = [replace(run, config={"weights": "new", "seed": run.facts.seed}) for run in learned([0.1, 0.1])]
    groups = groups_of(runs_of("adam", [0.2, 0.2]), learned([0.3, 0.3]), again)
    found = [(group.facts.optimizer, group.row.final.mean.centre) for group in groups]
    assert found == [
        ("rnnprop", pytest.approx(0.1)),
        ("adam", pytest.approx(0.2)),
        ("rnnprop", pytest.approx(0.3)),
    ]


def test_reasons_name_the_error_and_the_first_bad_step():
    (group,) = groups_of(runs_of("adam", [0.2, math.nan, "failed", "interrupted"]))
    assert group.status == "failed"
    assert "1 of 4 seeds failed" in group.reason
    assert "1 of 4 seeds diverged, the first at step 3" in group.reason
    assert "interrupted" in group.reason
    assert group.final_losses == [0.2, math.inf]


def test_only_problems_in_which_something_happened_are_compared_anew():
    grouping = LiveGroups()
    runs = numbered(
        runs_of("adam", [0.2]), runs_of("adam", [0.2], depth=2), runs_of("sgd", [math.nan], depth=2)
    )
    first = grouping.groups(EXPERIMENT, runs)
    changed = [replace(runs[0], result=replace(runs[0].result, final_loss=0.1)), *runs[1:]]
    second = grouping.groups(EXPERIMENT, changed)
    assert second[0] is not first[0]
    assert second[1:] == first[1:]


def test_titles_are_short():
    (group,) = groups_of(runs_of("adam", [0.2], horizon=10_000))
    assert group.problem.short_title == "mnist mlp sigmoid d1 x10000"


def test_a_pivot_puts_every_varied_axis_in_rows_or_columns():
    lots = [
        lot
        for depth in (1, 2)
        for horizon in (100, 1000)
        for lot in (
            learned([0.1], depth=depth, horizon=horizon),
            runs_of("adam", [0.2], depth=depth, horizon=horizon),
        )
    ]
    groups = compared_groups(groups_of(*lots), learned_only=True)
    assert {group.facts.optimizer for group in groups} == {"rnnprop"}
    assert column_choices(groups) == ["horizon", "depth"]
    found = pivot(groups, "horizon")
    assert found.columns == ("100", "1,000")
    assert found.row_axes == ("depth",)
    assert found.rows == (("1",), ("2",))
    assert found.cells[1, 0].problem.depth == 2
    both = pivot(compared_groups(groups_of(*lots), learned_only=False), "depth")
    assert both.row_axes == ("optimizer", "horizon")
    assert len(both.cells) == 8


def test_a_single_problem_shows_its_optimizers_by_rank_and_never_against_themselves():
    groups = groups_of(runs_of("sgd", [0.5, 0.6]), learned([0.1, 0.2]), runs_of("adam", [0.2, 0.3]))
    shown = compared_groups(groups, learned_only=True)
    assert is_one_problem(shown)
    assert column_choices(shown) == ["horizon"]
    found = pivot(shown, "horizon")
    assert found.rows == (("rnnprop",), ("adam",), ("sgd",))
    assert found.columns == ("100",)
    assert len(found.cells) == 3


def test_the_line_lies_inside_its_own_band():
    rng = np.random.default_rng(0)
    noisy = [Curve.of(np.exp(rng.normal(size=400))) for _ in range(5)]
    spiky = Curve.of(np.where(np.arange(400) % 7, 1.0, np.inf))
    for curves in (noisy, [*noisy[:2], spiky, spiky]):
        band = line_over_seeds(curves, ["done"] * len(curves), 400, LineStyle("iqr", 0.1))
        assert isinstance(band, Band)
        assert (band.low <= band.middle).all()
        assert (band.middle <= band.high).all()
    raw = line_over_seeds(noisy, ["done"] * 5, 400, LineStyle("iqr", 0.0))
    smoothed = line_over_seeds(noisy, ["done"] * 5, 400, LineStyle("iqr", 0.1))
    assert np.std(np.log(smoothed.high)) < np.std(np.log(raw.high)) / 2


def test_the_plot_and_the_report_show_the_same_statistic_over_the_tuning_seeds():
    searches = [
        runs_of("adam", losses, phase="tuning", lr=rate, lr_source="tuned")
        for rate, losses in ((0.01, [0.2, 0.3, 1.0]), (0.1, [0.3, 0.3, 0.3]))
    ]
    runs = numbered(*searches, runs_of("adam", [0.3, 0.4], lr=0.1))
    (live,) = rate_curves(LiveGroups().groups(EXPERIMENT, runs))
    (figure,) = [one for one in summary_figures(summarize(EXPERIMENT, runs)) if one.name.startswith("rates")]
    assert live.curve.middle.tolist() == figure.lines[0].middle.tolist() == pytest.approx([0.5, 0.3])
    assert live.curve.high.tolist() == figure.lines[0].high.tolist() == [1.0, 0.3]
    assert figure.lines[0].name == "adam *"
    assert figure.lines[0].width > figure.lines[0].style.width


def test_rate_curves_hold_the_search_and_a_level_line_for_the_learned_optimizer():
    searches = [
        runs_of("adam", losses, phase="tuning", lr=rate)
        for rate, losses in ((0.01, [0.5, 0.7]), (0.1, [0.3, 0.3]), (1.0, [0.4, math.nan]))
    ]
    level, adam = rate_curves(groups_of(learned([0.2, 0.4]), *searches, runs_of("adam", [0.3])))
    assert level.is_learned
    assert level.curve.middle.tolist() == pytest.approx([0.3, 0.3])
    assert level.curve.steps[0] < 0.01 < 1.0 < level.curve.steps[-1]
    assert adam.curve.steps.tolist() == [0.01, 0.1, 1.0]
    assert adam.curve.middle.tolist() == [0.6, 0.3, math.inf]
    assert best_point(adam.curve) == (0.1, 0.3)


def test_a_diverged_seed_lifts_the_band_to_the_horizon():
    curves = [Curve.of([1.0, 1.0, 1.0, 1.0]), Curve.of([1.0, 5.0])]
    band = line_over_seeds(curves, ["done", "diverged"], 4, LineStyle("minmax", 0.0))
    assert isinstance(band, Band)
    assert band.high.tolist() == [1.0, 5.0, math.inf, math.inf]
    assert not len(line_over_seeds([], [], 4, LineStyle()))
    median = line_over_seeds(curves, ["done", "running"], 4, LineStyle(None, 0.0))
    assert isinstance(median, Curve)
    assert np.array_equal(median.values, [1.0, 3.0, 1.0, 1.0])


def test_the_log_is_newest_first_and_names_bad_ends():
    runs = [
        replace(run, started_utc="2026-01-02T00:00:00Z") for run in numbered(runs_of("adam", [0.2, math.nan]))
    ]
    groups = LiveGroups().groups(EXPERIMENT, runs)
    lines = log_lines(
        replace(EXPERIMENT, argv=("bench", "--spec", "my file.toml")),
        groups,
        [("2026-01-03T00:00:00Z", "continued", '{"argv": "[]", "host": "h"}')],
    )
    assert [line.kind for line in lines] == ["finished", "continued", "diverged", "started", "created"]
    assert lines[0].text == "demo: 1 diverged, 1 done"
    assert lines[0].time_utc == "2026-01-03T00:00:00Z"  # the store keeps no time of ends
    assert "rnnprop bench --spec 'my file.toml'" in lines[-1].text
    assert command_line(["/usr/bin/rnnprop", "db", "path"]) == "rnnprop db path"
