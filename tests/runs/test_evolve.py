"""A meta-training by evolution is a meta-training: recorded, resumed to the bit, exported and used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from train_samples import ENGINE, SPEC, Stopped, fingerprint, run

from rnnprop_cli.errors import CheckpointError, UsageError
from rnnprop_cli.execute.evolve import EvolutionTraining, _typical_loss
from rnnprop_cli.runs.lengthen import lengthen
from rnnprop_cli.runs.observer import Event, MetaStepDone
from rnnprop_cli.runs.train import run_train
from rnnprop_cli.runs.weights import export_weights, find_weights
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.store.reader import Reader

PLAIN = {"meta_iterations": 6, "minibatch": 8, "name": "tiny"}
TASKS = [
    {"kind": "mlp", "dataset": "digits", "hidden": 3, "horizon": {"log_uniform": [4, 12]}},
    {"kind": "quadratic", "dimension": 5, "horizon": [4, 8]},
]
EVOLVED = TrainSpec.model_validate(
    PLAIN
    | {
        "optimizer": {"kind": "law"},
        "optimizees": TASKS,
        "evolution": {"population": 4, "draws": 2, "evaluation": 3, "averaged": 0.5},
        "truncation": {"horizon": 8, "unroll": 4},
        "validation": {"every": 3, "seeds": 2},
        "checkpoint": {"every": 3, "rolling": 1},
    }
)


def die_at(at: int) -> object:
    def die(event: Event) -> None:
        if isinstance(event, MetaStepDone) and event.result.meta_iteration == at:
            raise Stopped

    return die


@pytest.mark.parametrize("at", [2, 4])
def test_it_goes_on_to_the_bit_after_a_kill(tmp_path: Path, at: int) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    run(tmp_path / "a" / "a.db", EVOLVED)
    with pytest.raises(Stopped):
        run(tmp_path / "b" / "a.db", EVOLVED, observe=die_at(at))
    run(tmp_path / "b" / "a.db", EVOLVED)
    assert fingerprint(tmp_path / "a" / "a.db") == fingerprint(tmp_path / "b" / "a.db")


def test_what_it_finds_is_weights_like_others(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    run(path, EVOLVED)
    weights = find_weights("tiny", path)
    assert weights.architecture.name == "adamw-law"
    assert {*weights.tensors} == {"law"}
    exported = export_weights("tiny", path, tmp_path / "law.safetensors")
    again = find_weights(str(exported.path), None)
    assert np.array_equal(again.tensors["law"], weights.tensors["law"])
    with Reader.open(path) as reader:
        (info,) = reader.runs(1)
    assert info.facts.optimizer == "adamw-law"
    assert info.result.status == "done"


def test_a_direction_comes_from_earlier_weights_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    run(path, SPEC.model_copy(update={"name": "before", "meta_iterations": 1}))
    base = SPEC.optimizer.model_dump()
    spec = TrainSpec.model_validate(
        EVOLVED.model_dump()
        | {"optimizer": {"kind": "law", "base": base}, "start": "before", "meta_iterations": 1}
    )
    run(path, spec)
    before, after = find_weights("before", path), find_weights("tiny", path)
    assert all(np.array_equal(after.tensors[f"base.{name}"], before.tensors[name]) for name in before.tensors)
    other = spec.model_copy(update={"start": "tiny", "optimizer": EVOLVED.optimizer, "name": "other"})
    with pytest.raises(CheckpointError, match="holds weights of rnnprop-law with other settings than"):
        run(path, other)


def test_a_search_with_a_start_can_be_made_longer(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    run(path, EVOLVED.model_copy(update={"name": "before", "meta_iterations": 1}))
    short = EVOLVED.model_copy(update={"start": "before", "meta_iterations": 2})
    longer = short.model_copy(update={"meta_iterations": 4})
    run(path, short)
    lengthen(path, 2, longer, ENGINE)
    outcome = run(path, longer, must_exist=True)
    assert (outcome.meta_iterations, outcome.already_done) == (4, False)


def test_a_generation_in_which_most_diverge_ends_nothing() -> None:
    losses_DL = np.array([[np.nan, np.inf, 4.0, np.nan], [1.0, 1.0, 1.0, np.nan], [np.nan] * 4])
    assert _typical_loss(losses_DL) == pytest.approx(2.0)
    assert np.isnan(_typical_loss(losses_DL[2:]))


def test_a_search_that_comes_elsewhere_is_refused() -> None:
    training = EvolutionTraining(EVOLVED, ENGINE)
    training.iterate()
    kept = training.snapshot()
    moved = replace(kept, tensors=kept.tensors | {"law": kept.tensors["law"] + 1})
    EvolutionTraining(EVOLVED, ENGINE, kept)
    with pytest.raises(CheckpointError, match="does not come to where the checkpoint was"):
        EvolutionTraining(EVOLVED, ENGINE, moved)


def test_the_draws_differ_from_generation_to_generation_and_with_the_seed(tmp_path: Path) -> None:
    def losses(seed: int) -> list[float]:
        training = EvolutionTraining(EVOLVED.model_copy(update={"seed": seed}), ENGINE)
        return [event.result.train_loss for event in training.run()]

    first = losses(0)
    assert len(set(first)) == len(first)
    assert losses(0) == first
    assert losses(1) != first


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"evolution": {"train": ["lav"]}}, "adamw-law has no meta-params lav; it has law"),
        ({"optimizer": {"kind": "rnnprop"}}, "rnnprop has no meta-params law; it has embed.weight"),
        ({"evolution": None, "start": "rnnprop"}, r"start goes with \[evolution\]"),
        (
            {"optimizer": {"kind": "law", "base": {"kind": "dm"}}},
            "a law over an untrained network says nothing",
        ),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_is_written(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    spec = TrainSpec.model_validate(EVOLVED.model_dump() | changed)
    with pytest.raises(UsageError, match=said):
        run_train(spec, "", tmp_path / "a.db", ENGINE, lambda event: None)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("setting", [{"random_scaling": 2.0}, {"convex": {}}, {"meta_loss": "mean"}])
def test_what_has_no_part_in_evolution_is_told(setting: dict[str, object]) -> None:
    plain = {
        name: value
        for name, value in EVOLVED.model_dump().items()
        if name not in ("convex", "random_scaling")
    }
    with pytest.raises(ValueError, match=r"has no part in \[evolution\]"):
        TrainSpec.model_validate(plain | setting)
    assert TrainSpec.model_validate(EVOLVED.model_dump()) == EVOLVED
