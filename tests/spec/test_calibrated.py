"""The calibrated rivals stand beside every benchmark, unless it says otherwise, and are fixed on other tasks."""

import tomllib
from pathlib import Path

from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.adam import AdamSpec, AdamWSpec
from rnnprop_cli.plan.lanes import lanes, optimizers_of
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.calibrated import CALIBRATED
from rnnprop_cli.spec.load import load_bench

SPECS = Path(__file__).parents[2] / "bench_specs"


def spec(**changes: object) -> BenchSpec:
    settings = {"name": "a", "optimizees": (MLPSpec(),), "optimizers": (AdamSpec(),)}
    return BenchSpec.model_validate(settings | changes)


def test_they_are_run_without_any_search_on_the_same_seeds() -> None:
    rivals = [lane for lane in lanes(spec()) if lane.optimizer in CALIBRATED]
    assert [lane.optimizer.name for lane in rivals] == ["adamw calibrated", "nadamw calibrated"]
    assert all(lane.first_round() is None and lane.size == lane.seeds for lane in rivals)


def test_they_can_be_left_out_and_do_not_stand_twice() -> None:
    assert [one.name for one in optimizers_of(spec(calibrated=False))] == ["adam"]
    own = spec(optimizers=(AdamWSpec(lr=0.1, label="adamw calibrated"),))
    assert [one.name for one in optimizers_of(own)] == ["adamw calibrated", "nadamw calibrated"]


def test_their_settings_are_on_the_grid_and_no_task_of_the_paper_is_among_those_they_were_fixed_on() -> None:
    grid = tomllib.loads((SPECS / "calibrate.toml").read_text())["optimizers"][0]
    assert {one.kind for one in CALIBRATED} == set(grid["kind"])
    for one in CALIBRATED:
        assert one.lr in grid["lr"]
        assert one.weight_decay in grid["weight_decay"]
        assert one.schedule == grid["schedule"]
    paper = set(load_bench(SPECS / "paper.toml").optimizees)
    assert not paper & set(load_bench(SPECS / "calibrate.toml").optimizees)
