"""What the figures say, before anything is drawn."""

import math

import numpy as np
import pytest
from bench_samples import EXPERIMENT, runs_of, small_matrix

from rnnprop_cli.view.curves.curve import Curve
from rnnprop_cli.view.figures.figure import LOWEST, with_distinct_names
from rnnprop_cli.view.figures.loss_figures import MOST_POINTS, geometric_means, loss_figures
from rnnprop_cli.view.figures.styles import styles_of
from rnnprop_cli.view.figures.summary_figures import summary_figures
from rnnprop_cli.view.table.summary import summarize


@pytest.fixture
def figures():
    runs, load = small_matrix()
    summary = summarize(EXPERIMENT, runs, load)
    return {figure.name: figure for figure in loss_figures(summary, load) + summary_figures(summary)}


def lines_of(figure):
    return {one.label: one for one in figure.lines}


def test_there_is_a_figure_of_each_kind_for_each_problem(figures):
    problems = [
        f"mnist-mlp-{activation}-d{depth}-x100" for activation in ("sigmoid", "relu") for depth in (1, 2)
    ]
    expected = {f"{kind}-{problem}" for kind in ("loss", "rates") for problem in problems}
    assert set(figures) == expected | {
        "depth-mnist-mlp-sigmoid-x100",
        "depth-mnist-mlp-relu-x100",
        "profiles",
    }


def test_a_loss_curve_is_the_median_with_quartiles_and_a_diverged_seed_stays_in_it(figures):
    lines = lines_of(figures["loss-mnist-mlp-sigmoid-d1-x100"])
    assert lines["learned"].middle[-1] == pytest.approx(0.21)
    assert lines["learned"].low[-1] == pytest.approx(0.205, rel=0.01)
    assert lines["adam $x^2$"].high[-1] == math.inf  # one of three
    assert lines["adam $x^2$"].middle[-1] == pytest.approx(1.5)


def test_the_search_is_a_curve_over_rates_and_a_learned_optimizer_a_level_line(figures):
    lines = lines_of(figures["rates-mnist-mlp-sigmoid-d1-x100"])
    assert lines["adam"].x.tolist() == [0.05, 0.1, 0.2]
    assert lines["adam"].middle.tolist() == pytest.approx([0.45, 0.35, math.inf])  # a seed diverged at 0.2
    assert lines["learned"].level
    assert lines["learned"].middle.tolist() == pytest.approx([0.21, 0.21])


def test_final_loss_over_depth_has_a_point_for_each_depth(figures):
    figure = figures["depth-mnist-mlp-relu-x100"]
    lines = lines_of(figure)
    assert figure.x_ticks == (1.0, 2.0)
    assert lines["adam"].middle.tolist() == pytest.approx([0.25, 0.5])
    assert lines["adam $x^2$"].middle.tolist() == [math.inf, math.inf]
    assert figure.y_limits[0] < 0.2 < math.log(10) < figure.y_limits[1]


def test_an_optimizer_looks_the_same_in_all_figures_and_no_two_look_alike(figures):
    looks = {}
    for figure in figures.values():
        for one in figure.lines:
            assert looks.setdefault(one.label, one.style) == one.style
    assert len({(style.light, style.dashes) for style in looks.values()}) == len(looks) == 3


def test_styles_do_not_depend_on_order_and_differ_in_colour_and_in_dashes():
    names = [
        ("rnnprop", False),
        ("dm", False),
        *((name, True) for name in ("adam", "sgd", "lion", "mine", "yours")),
    ]
    styles = styles_of(names)
    assert styles == styles_of(reversed(names))
    assert len({style.light for style in styles.values()}) == len(names)
    assert len({style.dashes for style in styles.values()}) == len(names)
    assert styles["adam"] == styles_of([("adam", True)])["adam"]


def test_more_optimizers_than_styles_are_still_drawn():
    assert len(styles_of((f"rule {n}", True) for n in range(40))) == 40


def test_a_long_curve_is_averaged_over_equal_stretches():
    horizon = 1000
    runs = runs_of("adam", [0.3], horizon=horizon)
    values = np.tile([0.1, 10.0], horizon // 2)
    steps = np.arange(horizon)
    summary = summarize(EXPERIMENT, runs)
    (figure,) = loss_figures(summary, lambda ids: {0: (steps, values)})
    (one,) = figure.lines
    assert len(one.x) == MOST_POINTS
    assert one.middle == pytest.approx(np.ones(MOST_POINTS))
    assert "geometric mean over 8 steps" in figure.caption


def test_a_stretch_that_diverges_is_infinite_and_one_without_values_is_missing():
    curve = Curve.of([1.0, math.inf, 4.0, 4.0])
    assert geometric_means(curve, 8, 2).tolist() == pytest.approx(
        [math.inf, 4.0, math.nan, math.nan], nan_ok=True
    )


def test_without_chance_every_optimizer_is_seen_at_its_best_and_a_solved_problem_has_a_place():
    facts = {"dataset": None, "optimizee": "quadratic 20", "depth": None, "activation": None}
    runs = runs_of("adam", [0.0], **facts) + runs_of("sgd", [0.01], **facts)
    for name, losses in (("adam", (0.0, 0.1)), ("sgd", (0.01, 0.2))):
        for rate, loss in zip((0.1, 0.2), losses, strict=True):
            runs += runs_of(name, [loss], phase="tuning", lr=rate, lr_source="tuned", **facts)
    (figure,) = summary_figures(summarize(EXPERIMENT, runs))
    assert figure.reference is None
    assert figure.y_limits[0] < lines_of(figure)["adam"].middle[0] == LOWEST
    assert 0.03 < figure.y_limits[1] < 0.1


def test_names_of_files_never_collide(figures):
    one = figures["profiles"]
    assert [figure.name for figure in with_distinct_names([one, one, one])] == [
        "profiles",
        "profiles-2",
        "profiles-3",
    ]


def test_a_benchmark_without_results_has_no_figures():
    runs = runs_of("adam", ["queued"])
    summary = summarize(EXPERIMENT, runs)
    assert loss_figures(summary, lambda ids: {}) == []
    assert summary_figures(summary) == []
