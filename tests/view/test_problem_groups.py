"""Which changes from the paper's training task a problem is said to have."""

from dataclasses import replace

import pytest
from bench_samples import runs_of

from rnnprop_cli.components.optimizees.conv import ConvSpec
from rnnprop_cli.components.optimizees.lstm import LSTMSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.quadratic import QuadraticSpec
from rnnprop_cli.components.optimizees.transformer import TransformerSpec
from rnnprop_cli.view.table.problem_groups import group_of, group_order


def run_of(optimizee, horizon=100):
    (run,) = runs_of("adam", [0.3], horizon=horizon)
    return replace(run, config={"optimizee": optimizee.model_dump(mode="json")})


@pytest.mark.parametrize(
    ("optimizee", "horizon", "group"),
    [
        (MLPSpec(), 100, "in-distribution"),
        (MLPSpec(activation="relu"), 100, "activation"),
        (MLPSpec(depth=5), 100, "depth"),
        (MLPSpec(hidden=40), 100, "width"),
        (MLPSpec(init="torch"), 100, "initialisation"),
        (MLPSpec(dataset="digits"), 100, "dataset"),
        (TransformerSpec(), 100, "architecture"),
        (TransformerSpec(dataset="sentences"), 100, "architecture + dataset"),
        (MLPSpec(), 2000, "horizon"),
        (
            MLPSpec(dataset="cifar10", depth=2, activation="elu"),
            10_000,
            "activation + depth + dataset + horizon",
        ),
        (ConvSpec(), 100, "architecture"),
        (ConvSpec(dataset="cifar10"), 100, "architecture + dataset"),
        (LSTMSpec(layers=2), 100, "architecture"),
        (QuadraticSpec(), 10, "architecture + horizon"),
    ],
)
def test_a_group_names_what_was_changed(optimizee, horizon, group):
    assert group_of(run_of(optimizee, horizon)) == group


@pytest.mark.parametrize("config", [{}, {"optimizee": 3}])
def test_without_a_config_the_columns_tell(config):
    (run,) = runs_of("adam", [0.3], activation="relu")
    assert group_of(replace(run, config=config)) == "activation"


def test_groups_are_sorted_by_how_much_was_changed():
    groups = ["depth + horizon", "horizon", "in-distribution", "activation", "activation + depth"]
    assert sorted(groups, key=group_order) == [
        "in-distribution",
        "activation",
        "horizon",
        "activation + depth",
        "depth + horizon",
    ]
