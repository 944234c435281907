"""A learned optimizer from outside, from its file to a benchmark: trained, resumed, exported, and never run unasked."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from outside_samples import SMALL
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.components import plugins
from rnnprop_cli.components.learned.outside import OutsideSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.errors import CodeError, SpecError, UsageError
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.weights import weights_from
from rnnprop_cli.plan.cells import Cell, Problem, cell_key
from rnnprop_cli.records import TRAIN_LOSS
from rnnprop_cli.runs.bench import run_bench
from rnnprop_cli.runs.cell_facts import CellFacts
from rnnprop_cli.runs.observer import Event, MetaStepDone
from rnnprop_cli.runs.train import run_train
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.load import load_bench, load_train
from rnnprop_cli.spec.train import CheckpointSpec, ConvexSpec, TrainSpec, TruncationSpec, ValidationSpec
from rnnprop_cli.store.reader import Reader

ENGINE = Engine("cpu", 1, None, "reference", allow_code=True)
Outside = Callable[..., OutsideSpec]
RECIPE = """\
name = "own"
meta_iterations = 6
minibatch = 8
optimizer = { kind = "architecture", source = "own.py:Small", settings = { hidden = 2 } }
optimizee = { kind = "mlp", dataset = "digits", hidden = 2 }
random_scaling = 1.0
convex = { dimension = 3 }
truncation = { horizon = 8, unroll = 4 }
validation = { every = 3, seeds = 2 }
checkpoint = { every = 3, rolling = 2 }
"""


def recipe(optimizer: OutsideSpec, **changes: Any) -> TrainSpec:
    settings = {
        "name": "own",
        "meta_iterations": 6,
        "optimizer": optimizer,
        "optimizee": MLPSpec(dataset="digits", hidden=2),
        "minibatch": 8,
        "meta_batch": 2,
        "random_scaling": 1.0,
        "convex": ConvexSpec(dimension=3),
        "truncation": TruncationSpec(horizon=8, unroll=4),
        "validation": ValidationSpec(every=3, seeds=2),
        "checkpoint": CheckpointSpec(every=3, rolling=2),
    }
    return TrainSpec(**settings | changes)


def train(path: Path, spec: TrainSpec, observe: Any = lambda event: None) -> Any:
    return run_train(spec, "", path, ENGINE, observe)


def command(*words: str, **environment: str) -> Any:
    return CliRunner().invoke(app, list(words), env={"RNNPROP_ALLOW_CODE": "", **environment})


class Killed(BaseException):
    """Stands for a kill between two meta-iterations."""


def test_it_is_trained_to_the_same_bits_after_a_kill(tmp_path: Path, outside: Outside) -> None:
    spec = recipe(outside(hidden=2))

    def die(event: Event) -> None:
        if isinstance(event, MetaStepDone) and event.result.meta_iteration == 3:
            raise Killed

    losses, tensors = [], []
    for name, observe in (("a", None), ("b", die)):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "a.db"
        if observe is not None:
            with pytest.raises(Killed):
                train(path, spec, observe)
        train(path, spec)
        with Reader.open(path) as reader:
            losses.append(reader.curve(1, TRAIN_LOSS)[1].tobytes())
            assert reader.runs(1)[0].facts.optimizer == "Small"
        tensors.append(find_weights("own@6", path).tensors)
    assert losses[0] == losses[1]
    assert all(np.array_equal(tensors[0][name], tensors[1][name]) for name in ("w", "b", "out"))
    start = spec.optimizer.build().init_meta_params(0)
    assert not np.array_equal(tensors[0]["out"], start["out"].numpy())


def test_exported_weights_bring_their_code_along_and_are_benched_without_its_file(
    tmp_path: Path, outside: Outside
) -> None:
    train(tmp_path / "a.db", recipe(outside(hidden=2)))
    (tmp_path / "own.py").unlink()
    target = tmp_path / "out.safetensors"
    exported = CliRunner().invoke(
        app, ["--db", str(tmp_path / "a.db"), "weights", "export", "own", str(target), "--allow-code"]
    )
    assert exported.exit_code == 0, exported.stderr
    spec = BenchSpec(
        name="use",
        seeds=2,
        horizon=(12,),
        minibatch=8,
        calibrated=False,
        optimizees=(MLPSpec(dataset="digits", hidden=2),),
        optimizers=tuple(
            LearnedSpec(weights=name, label=label, schedule=schedule)
            for name, label, schedule in (
                ("own", "own", "constant"), (str(target), "file", "constant"), ("own", "cosine", "cosine"),
            )
        ),
    )  # fmt: skip
    run_bench(spec, "", tmp_path / "a.db", ENGINE, lambda event: None)
    with Reader.open(tmp_path / "a.db") as reader:
        runs = reader.runs(reader.find_experiment("use").id)
    losses: dict[str, list[float | None]] = {}
    for each in runs:
        assert each.result.status == "done", each.result.error
        losses.setdefault(each.facts.optimizer, []).append(each.result.final_loss)
        assert "architecture_sha256" in json.loads(each.facts.config_json)["environment"]
    assert losses["own"] == losses["file"]
    assert losses["own"] != losses["cosine"]


def test_the_same_numbers_in_other_code_are_another_cell(tmp_path: Path, outside: Outside) -> None:
    keys = set()
    for text in (SMALL, SMALL.replace("0.9 *", "0.8 *")):
        spec = outside(text, hidden=2)
        tensors = {name: value.numpy() for name, value in spec.build().init_meta_params(0).items()}
        weights = weights_from(tensors, {"optimizer": spec.model_dump(mode="json")}, "", "a test")
        facts = CellFacts(ENGINE, {}, {"digits": ""}, {"own": weights})
        problem = Problem(MLPSpec(dataset="digits"), 10, 8, "float32")
        keys.add(cell_key(facts.config(Cell(problem, LearnedSpec(weights="own"), None, 0, "final"))))
    assert len(keys) == 2


def test_code_that_was_changed_after_it_was_recorded_is_refused(tmp_path: Path, outside: Outside) -> None:
    told = outside(hidden=2).model_dump(mode="json")
    told["source"]["text"] += "\nprint('more')\n"
    changed = OutsideSpec.model_validate(told)
    with pytest.raises(UsageError, match="it is not what its SHA-256 says"):
        changed.build()


def test_an_error_in_the_middle_is_told_with_its_line_and_the_run_has_failed(
    tmp_path: Path, outside: Outside
) -> None:
    late = SMALL.replace(
        "        m = 0.9", "        if context.t == 8:\n            raise KeyError('late')\n        m = 0.9"
    )
    with pytest.raises(CodeError, match=r"own\.py:Small: line 16, in step: KeyError: 'late'"):
        train(tmp_path / "a.db", recipe(outside(late, hidden=2)))
    with Reader.open(tmp_path / "a.db") as reader:
        result = reader.runs(1)[0].result
    assert result.status == "failed"
    assert "line 16, in step" in (result.error or "")


def test_without_leave_nothing_of_it_is_ever_imported(tmp_path: Path) -> None:
    database, spec, mark = tmp_path / "a.db", tmp_path / "own.toml", tmp_path / "mark"
    text = f"open({str(mark)!r}, 'w').close()\n{SMALL}"
    (tmp_path / "own.py").write_text(text)
    spec.write_text(RECIPE)
    here = ("--db", str(database))
    assert command("spec", "check", str(spec)).exit_code == 0
    assert command(*here, "train", "--spec", str(spec), "--dry-run").exit_code == 0
    refused = command(*here, "train", "--spec", str(spec))
    assert (refused.exit_code, "add --allow-code" in " ".join(refused.stderr.split())) == (2, True)
    assert not mark.exists()
    assert not database.exists()
    done = command(*here, "-q", "train", "--spec", str(spec), "--threads", "1", RNNPROP_ALLOW_CODE="1")
    assert done.exit_code == 0, done.stderr
    mark.unlink()
    del sys.modules[f"rnnprop_outside_{hashlib.sha256(text.encode()).hexdigest()[:16]}"]
    plugins.allow_code(False)
    for words, said in (
        (("runs", "list", "own"), "Small"),
        (("runs", "show", "1"), "Small"),
        (("weights", "list"), "own"),
    ):
        shown = command(*here, *words)
        assert shown.exit_code == 0, shown.stderr
        assert said in shown.stdout
    for words in (("weights", "show", "own"), ("weights", "export", "own", str(tmp_path / "o.safetensors"))):
        refused = command(*here, *words)
        assert (refused.exit_code, "add --allow-code" in " ".join(refused.stderr.split())) == (2, True)
    assert not mark.exists()


def test_a_broken_class_is_refused_with_exit_2_and_no_database(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SMALL.replace("hidden = torch.tanh(", "hidden = torch.tan_h("))
    (tmp_path / "own.toml").write_text(RECIPE)
    plugins.allow_code(False)
    arguments = [
        "--db",
        str(tmp_path / "a.db"),
        "train",
        "--spec",
        str(tmp_path / "own.toml"),
        "--allow-code",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "own.py:Small: line 17, in step: AttributeError" in " ".join(result.stderr.split())
    assert not (tmp_path / "a.db").exists()


WRONG = [
    ('"own.py:Small"', '"own.py"', "must be FILE.py:NAME or package.module:NAME, not 'own.py'"),
    ('"own.py:Small"', '"none.py:Small"', "none.py cannot be read"),
    ('"own.py:Small"', '"no_such_package:Small"', "no installed package has the module 'no_such_package'"),
    ("hidden = 2 } }\n", "hidden = nan } }\n", "optimizer.settings.hidden: must be a finite number"),
    (
        "settings = {",
        "setings = {",
        "optimizer.setings: is not a setting of kind 'architecture' - did you mean",
    ),
    ("settings = { hidden = 2 }", "settings = { hidden = 1979-05-27 }", "optimizer.settings"),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG)
def test_a_mistake_in_the_spec_is_told(old: str, new: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SMALL)
    (tmp_path / "own.toml").write_text(RECIPE.replace(old, new))
    with pytest.raises(SpecError) as caught:
        load_train(tmp_path / "own.toml")
    assert said in str(caught.value)
    assert ":4:" in str(caught.value)


def test_the_specs_beside_the_example_load() -> None:
    folder = Path(__file__).parents[2] / "examples"
    spec = load_train(folder / "train_mlp_optimizer.toml")
    assert isinstance(spec.optimizer, OutsideSpec)
    assert spec.optimizer.source.text == (folder / "mlp_optimizer.py").read_text(encoding="utf-8")
    names = [
        each.weights for each in load_bench(folder / "bench_mlp_optimizer.toml").optimizers if each.learned
    ]
    assert names == [spec.name]
