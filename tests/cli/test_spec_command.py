"""`rnnprop spec`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.plan.count import count_cells
from rnnprop_cli.spec.load import load_bench, resolve
from rnnprop_cli.spec.shipped import shipped_specs

runner = CliRunner()


@pytest.mark.parametrize("kind", ["bench", "train"])
def test_init_then_check(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    assert runner.invoke(app, ["spec", "init", kind, str(file)]).exit_code == 0
    assert resolve(file).kind == kind
    result = runner.invoke(app, ["spec", "check", str(file)])
    assert result.exit_code == 0
    assert f"ok - {kind}" in result.stdout
    assert runner.invoke(app, ["spec", "init", kind]).stdout == file.read_text()


def test_init_never_overwrites(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    result = runner.invoke(app, ["spec", "init", "bench", str(file)])
    assert result.exit_code == 3
    assert "exists already" in result.stderr
    assert file.read_text() == "mine"
    assert runner.invoke(app, ["spec", "init", "bench", str(file / "x.toml")]).exit_code == 3


def test_check_goes_through_all_files_and_exits_2(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    runner.invoke(app, ["spec", "init", "bench", str(good)])
    bad.write_text(good.read_text().replace("seeds = 10", "seeds = 0"))
    result = runner.invoke(app, ["spec", "check", str(bad), str(tmp_path / "absent"), str(good)])
    assert result.exit_code == 2
    assert f"{bad}:6:9: seeds: must be at least 1, not 0" in result.stderr
    assert "absent: no such file" in result.stderr
    assert "2 of 3 files have mistakes" in result.stderr
    assert result.stdout.startswith(f"{good}: ok")


def test_the_caret_stays_under_its_column_on_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    file = tmp_path / "bad.toml"
    file.write_text(
        "seeds = 3\n" + 'description = "' + "words " * 10 + '"\nname = ' + " " * 30 + "0\n[[optimizers]]\n"
    )
    lines = runner.invoke(app, ["spec", "check", str(file)]).stderr.splitlines()
    [caret] = [line for line in lines if line.strip(" |") == "^" and len(line) > 30]
    assert lines[lines.index(caret) - 1][caret.index("^")] == "0"


def test_escape_sequences_in_a_spec_do_not_reach_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "bad\x1b[31m.toml"
    file.write_text("'\u009b31m\u202e' = 1\n[[optimizers]]\n")
    result = runner.invoke(app, ["spec", "check", str(file)])
    assert result.exit_code == 2
    assert not [
        c for c in result.output if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F or c == "\u202e"
    ]


@pytest.mark.parametrize("kind", ["bench", "train"])
def test_schema_is_json(kind: str) -> None:
    schema = json.loads(runner.invoke(app, ["spec", "schema", kind]).stdout)
    assert schema["properties"]["name"]["type"] == "string"


def test_list_shows_every_shipped_spec_with_its_size() -> None:
    shown = runner.invoke(app, ["spec", "list"])
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert {line.split()[0] for line in lines} == set(shipped_specs())
    (line,) = [line for line in lines if line.startswith("base_mlp ")]
    assert "662 cells" in line
    assert "Table 2, first row" in line
    assert "--spec NAME" in shown.stderr
    rows = {
        row["name"]: row for row in json.loads(runner.invoke(app, ["spec", "list", "--json"]).stdout)["specs"]
    }
    assert rows["base_mlp"]["size"] == count_cells(load_bench(shipped_specs()["base_mlp"]))
    assert rows["paper"]["seconds"] > rows["base_mlp"]["seconds"] > 0
    assert rows["train_rnnprop"]["kind"] == "train"


def test_copy_writes_a_shipped_spec_and_never_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, written in (
        (["cnn"], "cnn.toml"),
        (["cnn", "mine.toml"], "mine.toml"),
        (["cnn", "."], None),
    ):
        result = runner.invoke(app, ["spec", "copy", *arguments])
        assert result.exit_code == (0 if written else 3)
        if written:
            assert Path(written).read_bytes() == shipped_specs()["cnn"].read_bytes()
            assert f"rnnprop bench --spec {written}" in result.stderr
    assert "exists already" in result.stderr
    assert runner.invoke(app, ["spec", "copy", "../cnn"]).exit_code == 2
    assert "rnnprop train --spec train_dm.toml" in runner.invoke(app, ["spec", "copy", "train_dm"]).stderr


def test_bench_train_and_check_take_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "ok - bench 'cnn'" in runner.invoke(app, ["spec", "check", "cnn"]).stdout
    planned = runner.invoke(app, ["train", "--spec", "train_dm", "--dry-run"])
    assert json.loads(planned.stdout)["name"] == "dm"
    refused = runner.invoke(app, ["bench", "--spec", "cnn", "--max-cells", "5"])
    assert "cnn has 1,760 cells" in refused.stderr
