"""The calibrated rivals stand beside every benchmark, unless it says otherwise, and are fixed on other tasks."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.adam import AdamSpec, AdamWSpec
from rnnprop_cli.components.optimizers.base import BaselineSpec
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.plan.lanes import lanes, optimizers_of
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.calibrated import CALIBRATED
from rnnprop_cli.spec.load import load_bench, load_train

RIVALS = ["adamw calibrated", "nadamw calibrated", "adamw-law"]
EXTRA = {"weight", "horizon", "unroll", "minibatch"}
SPECS = Path(__file__).parents[2] / "bench_specs"


def spec(**changes: object) -> BenchSpec:
    settings = {"name": "a", "optimizees": (MLPSpec(),), "optimizers": (AdamSpec(),)}
    return BenchSpec.model_validate(settings | changes)


def test_they_are_run_without_any_search_on_the_same_seeds() -> None:
    rivals = [lane for lane in lanes(spec()) if lane.optimizer in CALIBRATED]
    assert [lane.optimizer.name for lane in rivals] == RIVALS
    assert all(lane.first_round() is None and lane.size == lane.seeds for lane in rivals)


def test_they_can_be_left_out_and_do_not_stand_twice() -> None:
    assert [one.name for one in optimizers_of(spec(calibrated=False))] == ["adam"]
    own = spec(optimizers=(AdamWSpec(lr=0.1, label="adamw calibrated"),))
    assert [one.name for one in optimizers_of(own)] == RIVALS
    law = spec(optimizers=({"kind": "adamw", "schedule": "law"},))
    assert [one.name for one in optimizers_of(law)] == ["adamw-law", *RIVALS[:2]]


def test_their_settings_are_on_the_grid_and_no_task_of_the_paper_is_among_those_they_were_fixed_on() -> None:
    grid = tomllib.loads((SPECS / "calibrate.toml").read_text())["optimizers"][0]
    fixed = [one for one in CALIBRATED if isinstance(one, BaselineSpec)]
    assert {one.kind for one in fixed} == set(grid["kind"])
    for one in fixed:
        assert one.lr in grid["lr"]
        assert one.model_dump()["weight_decay"] in grid["weight_decay"]
        assert one.schedule == grid["schedule"]
    paper = set(load_bench(SPECS / "paper.toml").optimizees)
    assert not paper & set(load_bench(SPECS / "calibrate.toml").optimizees)
    for law in SPECS.glob("train_*_law.toml"):
        assert not {each.model_dump_json(exclude=EXTRA) for each in paper} & {
            task.optimizee.model_dump_json(exclude=EXTRA) for task in load_train(law).tasks
        }


def test_a_law_is_a_schedule_of_adamw_and_of_learned_optimizers() -> None:
    rows = spec(
        optimizers=(
            {"kind": "adamw", "schedule": "law", "lr": "tuned", "label": "mine"},
            {"kind": "learned", "weights": "rnnprop", "schedule": "law"},
            {"kind": "learned", "weights": "a/b.safetensors", "schedule": "law", "lr": 0.5},
        )
    ).optimizers
    assert [row.name for row in rows] == ["mine", "rnnprop law", "b law"]
    assert all(isinstance(row, LearnedSpec) for row in rows)
    names = [row.weights_name for row in rows if isinstance(row, LearnedSpec)]
    assert names == ["adamw-law", "rnnprop-law", "a/b-law.safetensors"]
    assert [row.start_k for row in rows][1:] == [0, 0]
    assert rows[1].model_dump()["schedule"] == "law"


@pytest.mark.parametrize(
    "row", [{"kind": "sgd", "schedule": "law"}, {"kind": "adamw", "schedule": "law", "beta1": 0.8}]
)
def test_a_law_of_what_has_none_is_refused(row: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="schedule"):
        spec(optimizers=(row,))
