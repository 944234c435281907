import numpy as np
import pytest

from rnnprop_cli.view.facts.weights_facts import (
    WEIGHTS_EVENT,
    WeightsFacts,
    neighbour_spread,
    parse_weights_events,
)


def test_the_spread_is_that_of_neighbouring_checkpoints_without_their_trend() -> None:
    steps = np.arange(100, 10_100, 100)
    noise = np.random.default_rng(0).normal(scale=0.01, size=100)
    falling = 0.5 - 1e-5 * steps + noise
    spread = neighbour_spread(steps.tolist(), falling.tolist(), 9_000)
    assert spread == pytest.approx(0.01, rel=0.5)
    exact = neighbour_spread(steps.tolist(), (0.5 - 1e-5 * steps).tolist(), 9_000)
    assert exact == pytest.approx(0, abs=1e-12)


def test_too_few_checkpoints_have_no_spread() -> None:
    assert neighbour_spread([100, 200, 300], [0.3, 0.2, 0.1], 300) is None


def test_the_facts_say_how_minibatches_were_drawn_also_for_weights_older_than_the_setting() -> None:
    made = {"spec": {"seed": 3}, "meta_iteration": 15_000}
    assert WeightsFacts.of("w", "ab", made).sampling == "replacement"
    assert "drawn with replacement" in WeightsFacts.of("w", "ab", made).sentence
    made = {"spec": {"seed": 3, "sampling": "epochs"}, "meta_iteration": 15_000}
    sentence = WeightsFacts.of("w", "ab", made).sentence
    assert sentence == "w after 15,000 meta-iterations (seed 3) on minibatches drawn by epochs"


def test_weights_of_which_nothing_is_known_are_named_all_the_same() -> None:
    assert WeightsFacts.of("w", "ab", {}).sentence == "w"


def test_facts_travel_through_the_log_and_damaged_ones_are_left_out() -> None:
    facts = WeightsFacts("w", "ab", 5, 0, "epochs", 0.01)
    events = [
        ("", WEIGHTS_EVENT, facts.as_json()),
        ("", WEIGHTS_EVENT, "{"),
        ("", "created", facts.as_json()),
    ]
    assert parse_weights_events(events) == {"ab": facts}
