"""Curves in the formats of other programs, read back with these programs."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_run_bench import run as bench
from typer.testing import CliRunner, Result

from rnnprop_cli.cli.app import app
from rnnprop_cli.errors import StoreError, UsageError
from rnnprop_cli.runs.curves import read_curves
from rnnprop_cli.runs.exports import folder as folders
from rnnprop_cli.runs.exports.folder import run_name, whole_folder
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.view.formats.curve_export import RunCurve

Export = Callable[..., Result]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exports") / "a.db"
    bench(path, only="*/sgd")
    return path


@pytest.fixture
def curves(database: Path) -> list[RunCurve]:
    with Reader.open(database) as reader:
        return read_curves(reader, reader.runs(reader.find_experiment("small").id))


@pytest.fixture
def export(database: Path) -> Export:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["--db", str(database), "runs", "export", "-e", "small", *arguments])

    return invoke


def test_parquet_holds_every_value_and_what_it_is_of(
    export: Export, curves: list[RunCurve], tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    target = tmp_path / "curves.parquet"
    assert export("-f", "parquet", "-o", str(target)).exit_code == 0
    table = parquet.read_table(target)
    assert table.num_rows == sum(len(curve.steps) for curve in curves)
    first = table.slice(0, 12).to_pydict()
    assert set(first["dataset"]) == {"digits"}
    assert set(first["horizon"]) == {12}
    assert set(first["status"]) == {"done"}
    assert first["step"] == list(range(12))
    assert np.array_equal(first["value"], np.float32(curves[0].values))
    assert export("-f", "parquet", "-o", str(target)).exit_code == 3
    assert export("-f", "parquet").exit_code == 2


def test_row_groups_are_cut_where_they_grow_large(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from rnnprop_cli.runs.exports import parquet as ours

    monkeypatch.setattr(ours, "ROWS_AT_ONCE", 20)
    assert export("-f", "parquet", "-o", str(tmp_path / "x.parquet")).exit_code == 0
    assert parquet.ParquetFile(tmp_path / "x.parquet").num_row_groups == 2  # three runs of twelve steps


def test_tensorboard_reads_the_curves_and_the_hyperparameters(
    export: Export, curves: list[RunCurve], tmp_path: Path
) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    target = tmp_path / "board"
    done = export("--to", "tensorboard", str(target))
    assert done.exit_code == 0, done.stderr
    assert f"tensorboard --logdir {target}" in done.stderr
    logs = sorted(path.parent for path in target.rglob("events.out.tfevents.*"))
    assert len(logs) == len({curve.run.id for curve in curves})
    assert logs[0].relative_to(target).parts[:2] == ("small", "digits_mlp_4_sigmoid_d1_x12")
    for curve in curves:
        (log,) = [log for log in logs if log.name == run_name(curve.run)]
        read = accumulators.EventAccumulator(str(log), size_guidance={"scalars": 0}).Reload()
        scalars = read.Scalars("loss")
        assert [each.step for each in scalars] == curve.steps.tolist()
        assert np.array_equal([each.value for each in scalars], np.float32(curve.values))
        assert "_hparams_/session_start_info" in read.summary_metadata


def test_wandb_runs_are_offline_and_hold_nothing_of_this_machine(
    export: Export, curves: list[RunCurve], tmp_path: Path
) -> None:
    pytest.importorskip("wandb")
    target = tmp_path / "offline"
    done = export("-m", "loss", "--to", "wandb", str(target))
    assert done.exit_code == 0, done.stderr
    files = sorted(target.rglob("*.wandb"))
    assert len(files) == len({curve.run.id for curve in curves})
    content = b"".join(path.read_bytes() for path in target.rglob("*") if path.is_file())
    assert b"learning_rate" in content
    assert content.count(b"loss") >= 12 * len(files)  # a value at every step
    for secret in (str(Path.cwd()), str(tmp_path), str(Path(sys.executable).parent)):
        assert secret.encode() not in content
    assert {path.suffix for path in target.rglob("*") if not path.is_dir()} == {".wandb"}
    assert "WANDB_MODE" not in os.environ


@pytest.mark.parametrize("program", ["tensorboard", "wandb"])
def test_a_folder_that_holds_something_is_left_alone(export: Export, tmp_path: Path, program: str) -> None:
    pytest.importorskip(program)
    (tmp_path / "mine").write_text("mine")
    for target in (tmp_path, tmp_path / "mine"):
        refused = export("--to", program, str(target))
        assert refused.exit_code == 3
        assert "exists already" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_folder(tmp_path / "x") as filling:
            (filling / "half").write_text("")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not list(tmp_path.iterdir())
    with whole_folder(tmp_path / "a" / "b") as filling:
        (filling / "all").write_text("")
    assert (tmp_path / "a" / "b" / "all").exists()
    with pytest.raises(StoreError, match="exists already"), whole_folder(tmp_path / "a"):
        pass


def test_a_name_from_a_database_is_nothing_but_a_name(curves: list[RunCurve]) -> None:
    run = curves[0].run
    for name in ("../../x", "a/b", "..", "\x1b]52;c", ""):
        odd = run_name(replace(run, facts=replace(run.facts, optimizer=name)))
        assert "/" not in odd
        assert odd.isprintable()
        assert not odd.startswith(".")
    assert folders.file_name("...") == "_"


@pytest.mark.parametrize(
    ("library", "arguments"),
    [
        ("pyarrow", ("-f", "parquet", "-o", "x")),
        ("tensorboard", ("--to", "tensorboard", "x")),
        ("wandb", ("--to", "wandb", "x")),
    ],
)
def test_a_library_that_is_absent_is_named_with_its_extra(
    export: Export, library: str, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "find_spec", lambda name: None)
    refused = export(*arguments)
    assert refused.exit_code == 2
    assert f"needs {library}, which is not installed: pip install 'rnnprop[" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_without_an_export_none_of_the_libraries_is_loaded(database: Path) -> None:
    script = (
        "import sys\nfrom rnnprop_cli.cli.app import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'tensorboard', 'wandb'} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "--db", str(database), "runs", "export", "-e", "small"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_what_is_not_finite_arrives_as_it_is(curves: list[RunCurve], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from rnnprop_cli.runs.exports.parquet import write_parquet

    values = np.array([math.nan, math.inf, -math.inf])
    write_parquet([curves[0]._replace(steps=np.arange(3), values=values)], tmp_path / "x", tmp_path / "a.db")
    read = parquet.read_table(tmp_path / "x")["value"].to_numpy()
    assert np.array_equal(read, np.float32(values), equal_nan=True)
    with pytest.raises(UsageError, match="needs absent"):
        folders.require("absent", "x")
