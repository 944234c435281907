"""How far a benchmark is, and when it will be done."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from bench_samples import EXPERIMENT, runs_of, with_spec

from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.view.facts.log_lines import log_lines
from rnnprop_cli.view.facts.progress import FINISHED, begun_last, bench_progress, planned_cells
from rnnprop_cli.view.table.live import LiveGroups

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPEC = {
    "name": "demo",
    "seeds": 3,
    "horizon": 100,
    "optimizees": [{"kind": "mlp", "dataset": "digits"}],
    "optimizers": [{"kind": "adam", "lr": 0.1}],
}


def groups_of(*statuses, started=NOON):
    runs = [
        replace(run, id=number, started_utc=started.isoformat())
        for number, run in enumerate(runs_of("adam", statuses), 1)
    ]
    return LiveGroups().groups(EXPERIMENT, runs)


def test_the_share_counts_what_is_settled_and_the_steps_under_way():
    groups = groups_of(0.2, float("nan"), "failed", "running", "queued")
    found = bench_progress(None, groups, {groups[0].id: 50}, NOON, NOON + timedelta(seconds=35))
    assert found.share == pytest.approx(3.5 / 5)
    assert found.remaining_s == pytest.approx(15)  # ten seconds a cell, one and a half to go


def test_cells_that_are_planned_but_not_yet_recorded_are_still_to_do():
    found = bench_progress(8, groups_of(0.2, 0.3), {}, NOON, NOON + timedelta(seconds=20))
    assert (found.share, found.remaining_s) == (pytest.approx(0.25), pytest.approx(60))


def test_what_an_earlier_start_did_says_nothing_of_the_rate():
    groups = groups_of(0.2, 0.3, "queued", started=NOON - timedelta(days=1))
    found = bench_progress(None, groups, {}, NOON, NOON + timedelta(seconds=20))
    assert (found.share, found.remaining_s) == (pytest.approx(2 / 3), None)
    assert bench_progress(None, (), {}, NOON, NOON) is None


def test_the_last_start_is_the_newest_continuation():
    events = [
        ("2026-01-03T00:00:00Z", "continued", ""),
        ("2026-01-04T00:00:00Z", "weights", ""),
        ("?", "continued", ""),
    ]
    assert begun_last(EXPERIMENT, events) == datetime(2026, 1, 3, tzinfo=UTC)
    assert begun_last(EXPERIMENT, []) == datetime(2026, 1, 1, tzinfo=UTC)


def test_the_plan_is_that_of_the_stored_spec_and_unknown_where_it_cannot_be_read():
    spec = BenchSpec.model_validate_json(json.dumps(SPEC | {"calibrated": False}))
    assert planned_cells(with_spec({"spec": json.loads(spec.model_dump_json())})) == 3
    for broken in ({}, {"spec": 3}, {"spec": {"name": "demo"}}):
        assert planned_cells(with_spec(broken)) is None


def test_the_log_says_once_that_all_is_done():
    groups = groups_of(0.2, 0.3)
    derived = [line for line in log_lines(EXPERIMENT, groups, []) if line.kind == FINISHED]
    assert [line.text for line in derived] == ["demo: 2 done"]
    recorded = [("2026-01-03T00:00:00Z", FINISHED, "demo: 2 done")]
    assert [line.kind for line in log_lines(EXPERIMENT, groups, recorded)].count(FINISHED) == 1
    again = [*recorded, ("2026-01-05T00:00:00Z", "continued", "{}")]
    assert log_lines(EXPERIMENT, groups, again)[0].kind == FINISHED
    assert not [line for line in log_lines(EXPERIMENT, groups_of(0.2, "queued"), []) if line.kind == FINISHED]
