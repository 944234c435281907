"""A meta-training from recipe to checkpoints: exact resume, choice of checkpoint, use in a benchmark."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from train_samples import ENGINE, SPEC, Stopped, fingerprint, run

from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.quadratic import QuadraticSpec
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.errors import CheckpointError, UsageError
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.training import MovingAverage
from rnnprop_cli.records import RATE, TRAIN_LOSS, VALIDATION_LOSS
from rnnprop_cli.runs.bench import run_bench
from rnnprop_cli.runs.observer import Event, MetaStepDone
from rnnprop_cli.runs.snapshots import checkpoint_files
from rnnprop_cli.runs.train import find_resumable, run_train
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.seeds import fresh_seeds
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.train import CheckpointSpec, ConvexSpec, TruncationSpec
from rnnprop_cli.store.reader import Reader


@pytest.mark.parametrize("at", [1, 3, 4, 7, 12])
def test_a_killed_meta_training_resumes_to_the_same_bits(tmp_path: Path, uninterrupted: str, at: int) -> None:
    def die(event: Event) -> None:
        if isinstance(event, MetaStepDone) and event.result.meta_iteration == at:
            raise Stopped

    path = tmp_path / "a.db"
    with pytest.raises(Stopped):
        run(path, observe=die)
    outcome = run(path)
    assert outcome.meta_iterations == 12
    assert fingerprint(path) == uninterrupted


def test_measurements_are_kept_for_every_meta_iteration(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    with Reader.open(tmp_path / "a.db") as reader:
        (info,) = reader.runs(reader.find_experiment("tiny", kind="train").id)
        steps, losses = reader.curve(info.id, TRAIN_LOSS)
        assert steps.tolist() == list(range(1, 13))
        assert np.isfinite(losses).all()
        assert reader.curve(info.id, VALIDATION_LOSS)[0].tolist() == [4, 6, 8, 12]
        assert [each.meta_step for each in reader.checkpoints(info.id)] == [6, 12]
        assert info.result.status == "done"


def test_a_stop_where_a_checkpoint_is_kept_leaves_its_validation_with_it(tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, MetaStepDone) and event.result.meta_iteration == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    assert run(tmp_path / "a.db", observe=stop).stopped_by == 143
    with Reader.open(tmp_path / "a.db") as reader:
        (info,) = reader.runs(1)
        (kept,) = reader.checkpoints(info.id)
    assert kept.meta_step == 6
    assert kept.validation_loss is not None


def test_rolling_checkpoints_do_not_pile_up(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    (folder,) = (tmp_path / "checkpoints").iterdir()
    names = [path.name for path in checkpoint_files(folder)]
    assert names == [f"meta-{n:09d}.safetensors" for n in (6, 8, 10, 12)]


def test_a_finished_meta_training_is_not_run_again_unless_fresh(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    assert run(tmp_path / "a.db").already_done
    assert not run(tmp_path / "a.db", fresh=True).already_done


def test_meta_training_lowers_the_train_loss(tmp_path: Path) -> None:
    spec = SPEC.model_copy(
        update={
            "meta_iterations": 60,
            "optimizee": QuadraticSpec(),
            "convex": None,
            "random_scaling": 1.0,
            "truncation": TruncationSpec(horizon=20, unroll=10),
            "meta_optimizer": SPEC.meta_optimizer.model_copy(update={"lr": 1e-2}),
        }
    )
    run(tmp_path / "a.db", spec)
    with Reader.open(tmp_path / "a.db") as reader:
        (info,) = reader.runs(reader.find_experiment("tiny").id)
        losses = reader.curve(info.id, TRAIN_LOSS)[1]
    assert losses[-15:].mean() < 0.75 * losses[:15].mean()


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": DMSpec(hidden=4), "meta_loss": "mean", "random_scaling": None, "convex": None},
        {"convex": ConvexSpec(dimension=4, scaling=False), "random_scaling": None},
        {"meta_optimizer": SPEC.meta_optimizer.model_copy(update={"clip_norm": 0.1})},
        {"dtype": "float64"},
    ],
    ids=["dm", "no scaling", "clipped", "float64"],
)
def test_every_variant_of_the_recipe_runs(tmp_path: Path, changes: dict[str, object]) -> None:
    outcome = run(tmp_path / "a.db", SPEC.model_copy(update=changes))
    assert outcome.chosen is not None


def test_a_damaged_newest_checkpoint_is_refused_and_the_one_before_it_named(tmp_path: Path) -> None:
    def die(event: Event) -> None:
        if isinstance(event, MetaStepDone) and event.result.meta_iteration == 9:
            raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path / "a.db", observe=die)
    (folder,) = (tmp_path / "checkpoints").iterdir()
    newest = checkpoint_files(folder)[-1]
    content = bytearray(newest.read_bytes())
    content[-3] ^= 4
    newest.write_bytes(content)
    with pytest.raises(CheckpointError, match="meta-000000006"):
        run(tmp_path / "a.db")


def test_resume_finds_a_recipe_by_name_or_as_the_latest(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    run(tmp_path / "a.db", SPEC.model_copy(update={"name": "later", "meta_iterations": 2}))
    assert find_resumable(tmp_path / "a.db", "tiny").spec == SPEC
    assert find_resumable(tmp_path / "a.db", "latest").spec.name == "later"
    with pytest.raises(UsageError, match="nobody"):
        find_resumable(tmp_path / "a.db", "nobody")


def test_resuming_where_the_bits_would_differ_is_refused_with_what_changed(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    with pytest.raises(UsageError, match="threads was 1, is 2"):
        run_train(
            SPEC, "", tmp_path / "a.db", Engine("cpu", 2, None, "reference"), lambda e: None, must_exist=True
        )


def test_a_benchmark_uses_what_was_meta_trained_by_its_name(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    spec = BenchSpec(
        name="use",
        calibrated=False,
        seeds=2,
        horizon=(5,),
        minibatch=8,
        optimizees=(MLPSpec(dataset="digits", hidden=3),),
        optimizers=(
            LearnedSpec(weights="tiny@12", label="late"),
            LearnedSpec(weights="tiny@6", label="early"),
        ),
    )
    run_bench(spec, "", tmp_path / "a.db", ENGINE, lambda event: None)
    with Reader.open(tmp_path / "a.db") as reader:
        runs = reader.runs(reader.find_experiment("use").id)
    by_name = {(info.facts.optimizer, info.facts.seed): info.result.final_loss for info in runs}
    assert len(by_name) == 4
    seed = fresh_seeds(0, 1)[0]
    assert by_name["late", seed] != by_name["early", seed]
    assert {info.facts.lr for info in runs} == {0.1}


def test_weights_of_an_unknown_checkpoint_name_those_there_are(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    with pytest.raises(UsageError, match="6, 12"):
        find_weights("tiny@5", tmp_path / "a.db")


@pytest.mark.parametrize("rule", ["epoch_average", "moving_average", "mean_loss", "validation"])
def test_the_rule_of_the_recipe_chooses_the_checkpoint(tmp_path: Path, rule: Any) -> None:
    spec = SPEC.model_copy(update={"checkpoint": CheckpointSpec(every=4, rolling=4, select=rule)})
    chosen = run(tmp_path / "a.db", spec).chosen
    with Reader.open(tmp_path / "a.db") as reader:
        (info,) = reader.runs(1)
        losses = reader.curve(info.id, TRAIN_LOSS)[1]
        kept = {each.meta_step: each for each in reader.checkpoints(info.id)}
    value = {
        "moving_average": lambda step: kept[step].moving_average,
        "epoch_average": lambda step: losses[:step].mean(),  # no epoch of 100 is over yet
        "mean_loss": lambda step: losses[step - 4 : step].mean(),
        "validation": lambda step: kept[step].validation_loss,
    }[rule]
    assert [*kept] == [4, 8, 12]
    assert chosen is not None
    assert chosen.meta_step == min(kept, key=value)
    assert find_weights("tiny", tmp_path / "a.db").made["meta_iteration"] == chosen.meta_step


def test_moving_average_has_no_bias_towards_its_start() -> None:
    average = MovingAverage()
    assert average.add(3.0) == pytest.approx(3.0)
    assert average.add(1.0) == pytest.approx((0.9 * 3 + 1) / 1.9)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_training_cleanly_and_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'name = "long"\nmeta_iterations = 100000\nminibatch = 8\n[optimizer]\nkind = "rnnprop"\n'
        '[optimizee]\nkind = "mlp"\ndataset = "digits"\nhidden = 2\n'
    )
    database = tmp_path / "a.db"
    command = [sys.executable, "-m", "rnnprop_cli", "--db", str(database), "train", "--spec", str(recipe)]
    process = subprocess.Popen(
        [*command, "--threads", "1"], stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"}
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if database.exists():
            with Reader.open(database) as reader:
                runs = [run for each in reader.experiments() for run in reader.runs(each.id)]
                if runs and len(reader.curve(runs[0].id, TRAIN_LOSS)[0]):
                    break
        time.sleep(0.1)
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "train --resume long" in told
    assert "Traceback" not in told
    with Reader.open(database) as reader:
        (info,) = reader.runs(reader.find_experiment("long").id)
    assert info.result.status == "interrupted"


def test_a_database_made_anew_never_takes_the_checkpoints_that_lie_there(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    run(tmp_path / "b.db")
    with Reader.open(tmp_path / "b.db") as reader:
        (info,) = reader.runs(reader.find_experiment("tiny").id)
        assert len(reader.curve(info.id, TRAIN_LOSS)[0]) == 12
        assert len(reader.checkpoints(info.id)) == 2
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_weights_meta_trained_here_go_before_shipped_ones_of_that_name(tmp_path: Path) -> None:
    shipped = find_weights("quick", tmp_path / "a.db")
    run(tmp_path / "a.db", SPEC.model_copy(update={"name": "quick"}))
    assert find_weights("quick", tmp_path / "a.db").sha256 != shipped.sha256


def test_the_time_of_a_resumed_training_counts_what_was_done_before(tmp_path: Path) -> None:
    def die(event: Event) -> None:
        if isinstance(event, MetaStepDone) and event.result.meta_iteration == 11:
            raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path / "a.db", observe=die)
    run(tmp_path / "a.db")
    with Reader.open(tmp_path / "a.db") as reader:
        (info,) = reader.runs(reader.find_experiment("tiny").id)
        _, rates = reader.curve(info.id, RATE)
    assert info.result.elapsed_s == pytest.approx((1 / rates).sum(), rel=1e-3)


def test_weights_of_an_unfinished_meta_training_are_refused_with_its_state(tmp_path: Path) -> None:
    def die(event: Event) -> None:
        if isinstance(event, MetaStepDone) and event.result.meta_iteration == 9:
            raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path / "a.db", observe=die)
    with pytest.raises(
        UsageError, match=r"'tiny' is not finished: \w+ after \d+ meta-iterations.*--resume tiny"
    ):
        find_weights("tiny", tmp_path / "a.db", must_be_finished=True)
    run(tmp_path / "a.db")
    assert find_weights("tiny", tmp_path / "a.db", must_be_finished=True).architecture == SPEC.optimizer
