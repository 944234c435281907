"""A finished meta-training is trained on: same bits, nothing computed twice, nothing written where it is refused."""

import time
from pathlib import Path

import numpy as np
import pytest
from train_samples import ENGINE, SPEC, Stopped, fingerprint, run
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.errors import UsageError
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.records import MOVING_AVERAGE, TRAIN_LOSS, VALIDATION_LOSS
from rnnprop_cli.runs.lengthen import lengthen
from rnnprop_cli.runs.observer import Event, MetaStepDone
from rnnprop_cli.runs.train import find_resumable, run_train
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.store.reader import Reader


@pytest.mark.parametrize(
    "first", [6, 7]
)  # with and without a checkpoint and a validation that only the end makes
def test_a_lengthened_meta_training_has_the_bits_of_one_that_ran_through(
    tmp_path: Path, uninterrupted: str, first: int
) -> None:
    path = tmp_path / "a.db"
    short = SPEC.model_copy(update={"meta_iterations": first})
    run(path, short)
    lengthen(path, 1, SPEC, ENGINE)
    outcome = run(path, must_exist=True)
    assert (outcome.meta_iterations, outcome.stopped_by) == (12, None)
    assert fingerprint(path) == uninterrupted
    with Reader.open(path) as reader:
        assert [each.meta_step for each in reader.checkpoints(2)] == [6, 12]
        assert reader.runs(1)[0].result.status == "done"
    lengthen(path, 1, SPEC, ENGINE)  # the longer one is there already
    assert run(path, must_exist=True).already_done


def test_a_lengthened_meta_training_computes_only_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    short = SPEC.model_copy(update={"meta_iterations": 6})
    run(path, short)
    lengthen(path, 1, SPEC, ENGINE)
    done: list[int] = []

    def watch(event: Event) -> None:
        if isinstance(event, MetaStepDone):
            done.append(event.result.meta_iteration)

    run(path, observe=watch, must_exist=True)
    assert done == list(range(7, 13))


def test_an_earlier_one_of_the_same_name_is_lengthened_by_its_id(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    run(path, SPEC.model_copy(update={"meta_iterations": 4}))
    lengthen(path, 1, SPEC, ENGINE)
    run(path, must_exist=True)
    middle = SPEC.model_copy(update={"meta_iterations": 8})
    lengthen(path, find_resumable(path, "1").experiment_id, middle, ENGINE)
    assert run(path, middle, must_exist=True).meta_iterations == 8
    with Reader.open(path) as reader:
        (info,) = reader.runs(3)
        assert reader.curve(info.id, TRAIN_LOSS)[0].tolist() == list(range(1, 9))


def test_a_take_over_that_was_killed_is_begun_again(
    tmp_path: Path, uninterrupted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    run(path, SPEC.model_copy(update={"meta_iterations": 6}))

    def die(*_: object) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr("rnnprop_cli.runs.lengthen.save_snapshot", die)
        with pytest.raises(Stopped):
            lengthen(path, 1, SPEC, ENGINE)
    done: list[int] = []

    def watch(event: Event) -> None:
        if isinstance(event, MetaStepDone):
            done.append(event.result.meta_iteration)

    lengthen(path, 1, SPEC, ENGINE)
    run(path, observe=watch, must_exist=True)
    assert done == list(range(7, 13))
    assert fingerprint(path) == uninterrupted
    assert [start["what"] for start in find_weights("tiny", path).made["starts"]].count("lengthened") == 1


def test_where_the_bits_would_differ_nothing_is_lengthened_unless_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    run(path, SPEC.model_copy(update={"meta_iterations": 6}))
    elsewhere = Engine("cpu", 2, None, "reference")
    with pytest.raises(UsageError, match="threads was 1, is 2"):
        lengthen(path, 1, SPEC, elsewhere)
    with Reader.open(path) as reader:
        assert len(reader.experiments()) == 1
    lengthen(path, 1, SPEC, elsewhere, allow_inexact=True)
    run_train(SPEC, "", path, elsewhere, lambda event: None, must_exist=True, allow_inexact=True)
    assert "threads was 1, is 2" in find_weights("tiny", path).made["inexact"]


def test_a_start_that_finds_all_done_is_no_part_of_the_making(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    time.sleep(1.1)  # the store's times are in seconds
    assert run(tmp_path / "a.db").already_done
    assert "starts" not in find_weights("tiny", tmp_path / "a.db").made


def test_weights_tell_their_curve_and_every_start_of_their_making(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    short = SPEC.model_copy(update={"meta_iterations": 6})
    run(path, short)
    lengthen(path, 1, SPEC, ENGINE)
    run(path, must_exist=True)
    made = find_weights("tiny", path).made
    assert made["curve"]["meta_iteration"] == [4, 6, 8, 12]
    assert np.isfinite(made["curve"][MOVING_AVERAGE] + made["curve"][VALIDATION_LOSS]).all()
    assert [start["what"] for start in made["starts"]] == ["lengthened", "continued"]
    assert all(start["command"][0] == "rnnprop" for start in made["starts"])


def test_the_command_line_trains_on_and_refuses_other_changes(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        'name = "tiny"\nmeta_iterations = 2\nminibatch = 8\n[optimizer]\nkind = "dm"\nhidden = 4\n'
        '[optimizee]\nkind = "quadratic"\n[truncation]\nhorizon = 8\nunroll = 4\n'
    )
    base = ["--quiet", "--db", str(tmp_path / "a.db"), "train"]

    def command(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*base, *arguments, "--kernel", "reference", "--threads", "1"])
        return result.exit_code, result.stderr

    assert command("--spec", str(recipe))[0] == 0
    assert command("--resume", "tiny", "--set", "meta_iterations=4") == (0, "")
    with Reader.open(tmp_path / "a.db") as reader:
        (info,) = reader.runs(reader.find_experiment("tiny").id)
        assert reader.curve(info.id, TRAIN_LOSS)[0].tolist() == [1, 2, 3, 4]
    for change, reason in (
        ("meta_iterations=3", "can only be made longer"),
        ("seed=3", "only meta_iterations can be changed"),
        ("meta_iterations=0", "meta_iterations: must be at least 1, not 0"),
        ("meta_iterations", "must be key=value"),
    ):
        code, told = command("--resume", "tiny", "--set", change)
        assert (code, "Traceback" in told) == (2, False)
        assert reason in " ".join(told.split())


def test_what_cannot_be_lengthened_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    run(path)
    for other, reason in (
        (SPEC.model_copy(update={"meta_iterations": 24, "seed": 1}), "only meta_iterations"),
        (SPEC.model_copy(update={"meta_iterations": 3}), "only be made longer"),
    ):
        with pytest.raises(UsageError, match=reason):
            lengthen(path, 1, other, ENGINE)
    unfinished = SPEC.model_copy(update={"name": "cut"})

    def die(event: Event) -> None:
        if isinstance(event, MetaStepDone) and event.result.meta_iteration == 3:
            raise Stopped

    with pytest.raises(Stopped):
        run(path, unfinished, observe=die)
    with pytest.raises(UsageError, match="not finished"):
        lengthen(path, 2, unfinished.model_copy(update={"meta_iterations": 24}), ENGINE)
    with Reader.open(path) as reader:
        assert len(reader.experiments()) == 2
