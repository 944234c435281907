"""`rnnprop report`: what a reader sees, at any width, with and without colour."""

import csv
import io
import json

import pytest
from stored_bench import EVIL, has_no_control_characters, store_bench
from typer.testing import CliRunner

from rnnprop_cli.cli import console
from rnnprop_cli.cli.app import app


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "_color", console.Color.AUTO)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "")
    path = tmp_path / "x.db"

    def invoke(*arguments):
        return CliRunner().invoke(app, ["--db", str(path), *arguments])

    invoke.path = path
    return invoke


def test_the_table_ranks_compares_and_counts_failures_within_80_columns(run):
    store_bench(run.path)
    result = run("report", "demo")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].rstrip() == "digits · mlp sigmoid · depth 1 · 100 steps · 3 seeds"
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines[3:7]]
    assert rows[0][:3] == ["1", "learned", "0.03125"]
    assert rows[0][3:] == ["0.280", "±0.025", "-9.7", "±0.0", "3/3"]
    assert rows[1][:3] == ["2", "adam", "*"]
    assert "3 div" in lines[5]
    assert "3 fail" in lines[6]
    assert "best tuned baseline" in result.stdout
    assert has_no_control_characters(result.stdout)
    assert has_no_control_characters(result.stderr)


def test_the_best_row_is_bold_in_colour(run):
    store_bench(run.path)
    result = run("--color", "always", "report", "demo")
    (line,) = [line for line in result.stdout.splitlines() if "learned" in line]
    assert "\x1b[1m" in line
    assert "\x1b]52" not in result.stdout


@pytest.mark.parametrize("width", ["20", "40", "60", "200"])
def test_no_width_breaks_it(run, monkeypatch, width):
    store_bench(run.path)
    monkeypatch.setenv("COLUMNS", width)
    assert run("report", "demo").exit_code == 0


def test_json_is_valid_and_alone_on_stdout(run):
    store_bench(run.path)
    result = run("report", "demo", "--format", "json")
    records = json.loads(result.stdout)
    assert [record["optimizer"] for record in records] == ["learned", "adam", EVIL, "sgd"]
    assert records[0]["bench"] == "demo"
    assert records[2]["final_loss_mean"] is None
    assert has_no_control_characters(result.stdout)


def test_csv_and_markdown_are_written_too(run):
    store_bench(run.path)
    records = list(csv.DictReader(io.StringIO(run("report", "demo", "-f", "csv").stdout)))
    assert [record["rank"] for record in records] == ["1", "2", "3", ""]
    assert "| **1** | **learned** |" in run("report", "demo", "-f", "markdown").stdout


def test_a_partial_benchmark_says_on_stderr_what_is_missing(run):
    store_bench(run.path, partial=True)
    result = run("report", "demo")
    assert result.exit_code == 0
    assert "demo: 1 of 10 cells are missing (1 queued)." in result.stderr
    assert "demo: 1 of 4 pairs of problem and optimizer have no result yet." in result.stderr
    assert "missing" not in result.stdout.split("* best")[0]
    assert "1 miss" in result.stdout


def test_a_complete_benchmark_with_failures_says_how_to_see_and_retry_them(run):
    store_bench(run.path)
    result = run("report", "demo")
    assert "runs list demo --status failed" in result.stderr
    assert "--retry-failed" in result.stderr
    assert run("-q", "report", "demo").stderr == ""


def test_an_unknown_benchmark_is_a_usage_error_with_close_names(run):
    store_bench(run.path)
    result = run("report", "dmeo")
    assert result.exit_code == 2
    assert "Did you mean demo?" in result.stderr
    assert result.stdout == ""


def test_an_absent_database_is_a_storage_error(run):
    result = run("report", "demo")
    assert result.exit_code == 3
    assert "there is no database" in result.stderr
    assert not run.path.exists()
