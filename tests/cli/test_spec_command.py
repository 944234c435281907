"""`rnnprop spec`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.spec.load import resolve

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
