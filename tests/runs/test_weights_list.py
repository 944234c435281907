"""What `weights list` knows of each set of weights, and what exporting says of an unfinished one."""

import json
from pathlib import Path

import pytest
from train_samples import SPEC, run
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.runs.weights_list import list_weights
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished meta-training, and a later one of another name that was stopped."""
    path = tmp_path_factory.mktemp("trained") / "a.db"
    run(path)
    outcome = run(path, SPEC.model_copy(update={"name": "half"}))
    with Writer.open(path) as writer, Reader.open(path) as reader:
        experiment = reader.find_experiment(outcome.name)
        (info,) = reader.runs(experiment.id)
        writer.mark(experiment.id, [info.facts.key], "interrupted")
    return path


def test_every_meta_training_is_told_with_its_recipe_and_state(database: Path) -> None:
    half, tiny = [each for each in list_weights(database) if each.origin == "here"]
    assert (half.name, half.state) == ("half", "interrupted at 12 of 12")
    assert (tiny.name, tiny.state, tiny.kind) == ("tiny", "done", "rnnprop")
    assert (tiny.task, tiny.alpha) == ("digits mlp 3 sigmoid d1 x8", 0.1)
    assert tiny.meta_iterations in (6, 12)
    assert tiny.validation_loss is not None


def test_shipped_weights_are_told_as_their_record_has_them() -> None:
    (rnnprop,) = [each for each in list_weights(Path("absent.db")) if each.name == "rnnprop"]
    made = find_weights("rnnprop", None).made
    assert rnnprop.meta_iterations == made["meta_iteration"] == 14_000
    assert rnnprop.validation_loss == made["validation_loss"]
    assert rnnprop.task == "mnist mlp sigmoid d1 x100"


def test_the_table_marks_what_is_not_finished(database: Path) -> None:
    shown = CliRunner().invoke(app, ["--db", str(database), "weights", "list"], env={"COLUMNS": "120"})
    lines = {line.split()[0]: line for line in shown.stdout.splitlines()[2:]}
    assert lines["half"].rstrip().endswith("! interrupted at 12 of 12")
    assert lines["tiny"].rstrip().endswith(" done")
    listed = json.loads(CliRunner().invoke(app, ["--db", str(database), "weights", "list", "--json"]).stdout)
    assert {"quick", "half", "tiny"} <= {each["name"] for each in listed["weights"]}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_exporting_unfinished_weights_warns_and_marks_the_file(
    database: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"out{suffix}"
    done = CliRunner().invoke(app, ["--db", str(database), "weights", "export", "half", str(target)])
    assert done.exit_code == 0
    assert (
        "warning: meta-training 'half' is not finished (interrupted after 12 meta-iterations)" in done.stderr
    )
    assert f"rnnprop --db {database} train --resume half" in done.stderr
    if suffix == ".safetensors":
        assert find_weights(str(target), None).made["unfinished"].startswith("interrupted")


@pytest.mark.parametrize("name", ["tiny", "half@6", "quick"])
def test_exporting_anything_else_is_silent(database: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "out.safetensors"
    done = CliRunner().invoke(app, ["--db", str(database), "weights", "export", name, str(target)])
    assert done.stderr == f"wrote {target}\n"
    assert "unfinished" not in find_weights(str(target), None).made
