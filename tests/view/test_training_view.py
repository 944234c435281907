import math

import numpy as np
import pytest
from bench_samples import with_spec

from rnnprop_cli.records import CheckpointInfo
from rnnprop_cli.view.curves.curve import Curve
from rnnprop_cli.view.facts.training import (
    chosen_checkpoint,
    epoch_average,
    planned_meta_iterations,
    recent_rate,
    selection_rule,
)


def test_the_checkpoint_with_the_lowest_finite_loss_of_the_rule_is_chosen():
    kept = [
        CheckpointInfo(100, "a", "", 0.5, 0.2),
        CheckpointInfo(200, "b", "", 0.4, 0.3),
        CheckpointInfo(300, "c", "", math.nan, None),
    ]
    assert chosen_checkpoint(kept, "moving_average") is kept[1]
    assert chosen_checkpoint(kept, "validation") is kept[0]
    assert chosen_checkpoint(kept[2:], "validation") is None


def test_the_mean_loss_is_that_since_the_checkpoint_before():
    kept = [CheckpointInfo(n, "", "", average, None) for n, average in ((2, 0.1), (4, 0.2), (6, 0.3))]
    losses = Curve.of([9, 3, 2, 2, 1, 4])  # steps 0 to 5
    losses = Curve(losses.steps + 1, losses.values)
    assert chosen_checkpoint(kept, "moving_average") is kept[0]
    assert chosen_checkpoint(kept, "mean_loss", losses) is kept[1]
    assert chosen_checkpoint(kept, "mean_loss") is None


def test_the_last_is_the_last_whatever_its_losses():
    kept = [CheckpointInfo(100, "a", "", 0.1, 0.1), CheckpointInfo(200, "b", "", math.nan, None)]
    assert chosen_checkpoint(kept, "last") is kept[1]


def test_the_epoch_average_is_taken_over_means_of_a_hundred():
    rng = np.random.default_rng(0)
    values = rng.uniform(size=350)
    losses = Curve(np.arange(1, 351, dtype=np.float64), values)
    first, second, third = values[:300].reshape(3, 100).mean(1)
    assert epoch_average(losses, 300) == pytest.approx((0.81 * first + 0.9 * second + third) / 2.71)
    assert epoch_average(losses, 350) == epoch_average(losses, 300)  # the fourth epoch is not over
    assert epoch_average(losses, 40) == pytest.approx(values[:40].mean())
    assert epoch_average(losses, 0) is None
    kept = [CheckpointInfo(n, "", "", 9.0 - n, None) for n in (100, 200, 300)]
    best = min(kept, key=lambda one: epoch_average(losses, one.meta_step))
    assert chosen_checkpoint(kept, "epoch_average", losses) is best


def test_the_spec_names_the_rule_and_the_length():
    spec = {"spec": {"meta_iterations": 15_000, "checkpoint": {"select": "validation"}}}
    assert selection_rule(with_spec(spec)) == "validation"
    for rule in ("mean_loss", "epoch_average"):
        assert selection_rule(with_spec({"spec": {"checkpoint": {"select": rule}}})) == rule
    assert planned_meta_iterations(with_spec(spec)) == 15_000
    for broken in ({}, {"spec": 3}, {"spec": {"checkpoint": 3}}, {"spec": {"checkpoint": {"select": []}}}):
        assert selection_rule(with_spec(broken)) == "moving_average"
        assert planned_meta_iterations(with_spec(broken)) is None


def test_the_rate_is_that_of_late_and_leaves_out_what_is_not_finite():
    values = np.r_[np.full(100, 1.0), np.full(49, 6.0), np.nan]
    assert recent_rate(Curve.of(values)) == 6.0
    assert recent_rate(None) is None
    assert recent_rate(Curve.of([np.nan])) is None
