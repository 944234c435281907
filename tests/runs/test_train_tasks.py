"""A meta-training on several tasks: every task is validated, and it goes on to the bit after a kill."""

from math import exp, isnan, log
from pathlib import Path

import numpy as np
import pytest
from train_samples import ENGINE, SPEC, Stopped, fingerprint, run

from rnnprop_cli.execute.tasks import geometric_mean
from rnnprop_cli.execute.train import MetaTraining
from rnnprop_cli.meta.graphed import RecordedWindows, record_nothing
from rnnprop_cli.records import VALIDATION_LOSS, task_validation
from rnnprop_cli.runs.lengthen import lengthen
from rnnprop_cli.runs.observer import Event, MetaStepDone
from rnnprop_cli.runs.train_identity import train_environment
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.store.reader import Reader

PLAIN = SPEC.model_dump()
del PLAIN["optimizee"]
TASKS = TrainSpec.model_validate(
    PLAIN
    | {
        "optimizees": [
            {"kind": "mlp", "dataset": "digits", "hidden": 3, "horizon": [4, 12]},
            {"kind": "quadratic", "dimension": 5, "weight": 2.0, "unroll": 2, "minibatch": 1},
        ],
        "convex": None,
    }
)


def test_every_task_is_validated_and_the_whole_is_their_geometric_mean(tmp_path: Path) -> None:
    run(tmp_path / "a.db", TASKS)
    with Reader.open(tmp_path / "a.db") as reader:
        (info,) = reader.runs(1)
        names = [task_validation(number, task.label) for number, task in enumerate(TASKS.tasks, start=1)]
        assert names == [
            "validation_loss 1: digits mlp 3 sigmoid d1 x4 or 12",
            "validation_loss 2: quadratic 5 x8",
        ]
        assert {*names} < {*reader.metrics(info.id)}
        whole, *own = (reader.curve(info.id, name) for name in (VALIDATION_LOSS, *names))
        kept = reader.checkpoints(info.id)
    assert [steps.tolist() for steps, _ in own] == [[4, 6, 8, 12]] * 2
    assert np.allclose(whole[1], np.sqrt(own[0][1] * own[1][1]), rtol=1e-5)
    assert kept[-1].validation_loss == pytest.approx(float(whole[1][-1]), rel=1e-6)
    facts = info.facts
    assert (facts.optimizee, facts.dataset, facts.horizon) == ("mlp 3 sigmoid + quadratic 5", None, 12)


@pytest.mark.parametrize("at", [3, 7])
def test_it_goes_on_to_the_bit_after_a_kill(tmp_path: Path, at: int) -> None:
    def die(event: Event) -> None:
        if isinstance(event, MetaStepDone) and event.result.meta_iteration == at:
            raise Stopped

    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    run(tmp_path / "a" / "a.db", TASKS)
    with pytest.raises(Stopped):
        run(tmp_path / "b" / "a.db", TASKS, observe=die)
    run(tmp_path / "b" / "a.db", TASKS)
    assert fingerprint(tmp_path / "a" / "a.db") == fingerprint(tmp_path / "b" / "a.db")


def test_a_longer_one_takes_over_the_losses_of_every_task(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    run(path, TASKS)
    longer = TASKS.model_copy(update={"meta_iterations": 14})
    lengthen(path, 1, longer, ENGINE)
    run(path, longer, must_exist=True)
    with Reader.open(path) as reader:
        (info,) = reader.runs(2)
        name = task_validation(2, TASKS.tasks[1].label)
        assert reader.curve(info.id, name)[0].tolist() == [4, 6, 8, 12, 14]


def test_recorded_windows_of_every_task_give_what_plain_ones_give() -> None:
    plain, recorded = (MetaTraining(TASKS, ENGINE) for _ in range(2))
    recorded.estimators = [RecordedWindows(record_nothing) for _ in TASKS.tasks]
    losses = [[event.result.train_loss for event in training.run()] for training in (plain, recorded)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert [each.notice for each in recorded.estimators if isinstance(each, RecordedWindows)] == [None, None]


def test_the_datasets_of_all_tasks_are_part_of_the_identity() -> None:
    one = train_environment(SPEC, ENGINE)["dataset_sha256"]
    assert train_environment(TASKS, ENGINE)["dataset_sha256"] == one


def test_a_geometric_mean_is_of_positive_numbers() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(exp((log(2) + log(8)) / 2))
    assert isnan(geometric_mean([2.0, 0.0]))
