"""Several optimizees and horizons in a train spec: what is right is read, what is wrong is told with its place."""

from pathlib import Path

import pytest

from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees import OPTIMIZEES
from rnnprop_cli.errors import SpecError
from rnnprop_cli.plan.identity import content_hash
from rnnprop_cli.spec.horizons import LogUniform
from rnnprop_cli.spec.load import load_train
from rnnprop_cli.spec.starters import json_schema
from rnnprop_cli.spec.tasks import TASKS, TaskSettings
from rnnprop_cli.spec.train import TrainSpec

HEAD = 'name = "t"\n[optimizer]\nkind = "rnnprop"\n'
TASK = '[[optimizees]]\nkind = "mlp"\n'


def load(folder: Path, text: str, *overrides: str) -> TrainSpec:
    file = folder / "spec.toml"
    file.write_text(text)
    return load_train(file, overrides)


def test_a_task_has_its_own_settings_or_those_of_the_recipe(tmp_path: Path) -> None:
    text = (
        HEAD + TASK + "weight = 2\nhorizon = { log_uniform = [20, 200] }\nunroll = 10\n"
        '[[optimizees]]\nkind = "quadratic"\nminibatch = 4\n[truncation]\nhorizon = [40, 60]\n'
    )
    spec = load(tmp_path, text)
    first, second = spec.tasks
    assert (first.weight, first.horizon, first.unroll, first.minibatch) == (
        2, LogUniform(log_uniform=(20, 200)), 10, 128,
    )  # fmt: skip
    assert (second.weight, second.horizon, second.unroll, second.minibatch) == (1, (40, 60), 20, 4)
    assert [task.label for task in spec.tasks] == [
        "mnist mlp sigmoid d1 x20 to 200",
        "quadratic 20 x40 or 60",
    ]
    assert [task.longest for task in spec.tasks] == [200, 60]
    assert spec.trained_on == "mlp sigmoid + quadratic 20"
    again = TrainSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert "optimizee" not in spec.model_dump()


def test_a_recipe_with_one_optimizee_is_stored_as_ever() -> None:
    spec = TrainSpec(name="t", optimizer=RNNpropSpec())
    assert content_hash(spec).startswith("f278ce64c36672328ff9fc830640c53b")
    assert "optimizees" not in spec.model_dump()


@pytest.mark.parametrize("kind", OPTIMIZEES)
def test_no_optimizee_has_a_setting_that_tasks_have(kind: str) -> None:
    assert not OPTIMIZEES[kind].model_fields.keys() & TaskSettings.model_fields.keys()
    assert issubclass(TASKS[kind], OPTIMIZEES[kind])


def test_editors_are_offered_tasks_and_horizons() -> None:
    schema = json_schema("train")
    assert schema["properties"]["optimizees"]["items"]["discriminator"]["propertyName"] == "kind"
    assert len(schema["$defs"]["TruncationSpec"]["properties"]["horizon"]["oneOf"]) == 3


WRONG = [
    ("[truncation]\nhorizon = 'x'", "5:11: truncation.horizon: must be a whole number, not 'x'"),
    ("[truncation]\nhorizon = [20, 'a']", "5:16: truncation.horizon[1]: must be a whole number, not 'a'"),
    ("[truncation]\nhorizon = []", "5:11: truncation.horizon: must not be empty"),
    ("[truncation]\nhorizon = [20, 30]", "4:1: truncation: horizon 30 is not a multiple of unroll 20"),
    ("[truncation]\nhorizon = { log_uniform = [99, 20] }", "5:11: truncation.horizon: log_uniform = [99, 20] ends"),
    ("[truncation]\nhorizon = { log_uniform = [21, 39] }", "4:1: truncation: no multiple of unroll 20 lies between"),
    ("[truncation]\nhorizon = { log_uniform = [20] }", "5:13: truncation.horizon.log_uniform[1]: is missing"),
    ("[truncation]\nhorizon = { uniform = [1, 2], log_uniform = [20, 40] }", "5:13: truncation.horizon.uniform: is"),
    ("[truncation]\nhorizon = { log_uniform = [0, 40] }", "5:28: truncation.horizon.log_uniform[0]: must be at"),
    (f"[optimizee]\nkind = 'mlp'\n{TASK}", "4:1: optimizee: a train spec has [optimizee] or [[optimizees]], not"),
    (f"{TASK}weight = 0\n{TASK}weight = 0.0", "4:1: optimizees: every weight is 0, so that none is ever drawn"),
    (f"{TASK}weight = -1", "6:10: optimizees[0].weight: must be at least 0, not -1"),
    (f"{TASK}{TASK}wieght = 1", "8:1: optimizees[1].wieght: is not a setting of kind 'mlp' - did you mean 'weight'?"),
    (f"{TASK}horizon = 30", "6:11: optimizees[0].horizon: horizon 30 is not a multiple of unroll 20"),
    (f"{TASK}unroll = 30", "6:10: optimizees[0].unroll: horizon 100 is not a multiple of unroll 30"),
    (f"{TASK}dataset = 'digits'\nminibatch = 5000", "7:13: optimizees[0].minibatch: 5,000 is more than the 1,438"),
    ("[[optimizees]]\nkind = 'mpl'", "5:8: optimizees[0].kind: must be one of"),
    ("[[optimizees]]\nweight = 1", "4:1: optimizees[0]: kind is missing: give one of"),
    ("[optimizees]\nkind = 'mlp'", "4:1: optimizees: must be a list, not a table"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_told_with_its_place(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, f"{HEAD}{text}\n")
    problems = [problem.removeprefix(f"{tmp_path / 'spec.toml'}:") for problem in caught.value.problems]
    assert any(problem.startswith(expected) for problem in problems), problems


def test_no_optimizee_at_all_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="optimizees: must not be empty"):
        load(tmp_path, f"optimizees = []\n{HEAD}")


def test_an_override_of_the_only_optimizee_does_not_go_with_several(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match=r"--set optimizee.kind=mlp: optimizee: a train spec has \[optimizee\] or"
    ):
        load(tmp_path, HEAD + TASK, "optimizee.kind=mlp")
