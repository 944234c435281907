"""`rnnprop report`: what a reader sees, at any width, with and without colour."""

import csv
import io
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from stored_bench import EVIL, FACTS, has_no_control_characters, run_facts, store_bench
from typer.testing import CliRunner

from rnnprop_cli.cli import console
from rnnprop_cli.cli.app import app
from rnnprop_cli.records import CellResult
from rnnprop_cli.store.writer import Writer


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
    group, *lines = result.stdout.splitlines()
    assert group == "changed: dataset"
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


def test_a_wider_terminal_shows_more_columns_and_explains_them(run, monkeypatch):
    store_bench(run.path)
    narrow = run("report", "demo").stdout
    monkeypatch.setenv("COLUMNS", "160")
    wide = run("report", "demo").stdout
    assert max(map(len, wide.splitlines())) <= 160
    for column in ("median", "IQM", "test loss", "test acc", "to target"):
        assert column not in narrow
        assert column in wide.splitlines()[2]
    assert "90.00%" in wide
    assert "bootstrap" in wide
    assert "0.280 [0.270, 0.290]" in wide


def test_json_is_valid_and_alone_on_stdout(run):
    store_bench(run.path)
    result = run("report", "demo", "--format", "json")
    records = json.loads(result.stdout)
    assert [record["optimizer"] for record in records] == ["learned", "adam", EVIL, "sgd"]
    assert records[0]["bench"] == "demo"
    assert records[2]["final_loss_mean"] is None
    assert has_no_control_characters(result.stdout)


def test_json_rows_have_the_promised_fields_and_the_time_to_the_target(run):
    store_bench(run.path)
    learned, adam, evil, sgd = json.loads(run("report", "demo", "-f", "json").stdout)
    promised = {
        *("bench", "optimizee", "dataset", "activation", "depth", "horizon", "optimizer", "learning_rate"),
        *("seeds", "final_loss_mean", "final_loss_low", "final_loss_high", "diverged"),
    }
    assert promised <= learned.keys()
    assert (adam["is_best_baseline"], adam["lr_source"], learned["lr_source"]) == (True, "tuned", "own")
    assert adam["target_loss"] == pytest.approx(0.31)
    assert 35 < learned["target_steps"] < 60  # exp(-t / 30) is there at 35.1, its average lags by up to nine
    assert (learned["target_share"], evil["stuck"], sgd["target_share"]) == (1.0, 0, None)


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


def test_the_page_needs_nothing_from_elsewhere_and_has_the_numbers_of_the_table(run, tmp_path):
    store_bench(run.path)
    path = tmp_path / "new" / "demo.html"
    result = run("report", "demo", "--format", "html", "--output", str(path))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert f"wrote {path}" in result.stderr.replace("\n", "")
    page = path.read_text(encoding="utf-8")
    for text in (
        "0.280 ±0.025",
        "-9.7 ±0.0",
        "3 div",
        "3 fail",
        "5" * 64,
        "0123abcd",
        "cpu · float32 · 1 thread",
    ):
        assert text in page
    assert has_no_control_characters(page)
    assert run("report", "demo", "-f", "html").stdout == page


@pytest.mark.parametrize("output_format", ["table", "markdown", "csv", "json"])
def test_every_format_can_go_to_a_file(run, tmp_path, output_format):
    store_bench(run.path)
    path = tmp_path / "out"
    assert run("-q", "report", "demo", "-f", output_format, "-o", str(path)).stderr == ""
    text = path.read_text(encoding="utf-8")
    assert "learned" in text
    assert "\x1b" not in text


def test_plots_are_written_beside_the_table(run, tmp_path):
    pytest.importorskip("matplotlib")
    store_bench(run.path)
    result = run("report", "demo", "--plots", str(tmp_path / "plots"))
    assert result.exit_code == 0
    assert "learned" in result.stdout
    assert "wrote 1 figures" in result.stderr
    names = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert names == ["loss-digits-mlp-sigmoid-d1-x100.png", "loss-digits-mlp-sigmoid-d1-x100.svg"]


def test_without_matplotlib_the_remedy_is_named_before_anything_is_done(run, tmp_path, monkeypatch):
    store_bench(run.path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("report", "demo", "--plots", str(tmp_path / "plots"))
    assert result.exit_code == 2
    assert "pip install 'rnnprop[plots]'" in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "plots").exists()


def test_without_a_name_the_benchmark_used_last_is_shown_and_named(run):
    store_bench(run.path)
    with Writer.open(run.path) as writer:
        writer.begin_experiment(replace(FACTS, name="later", spec_sha256="6" * 64))
        writer.begin_experiment(FACTS)
    shown = run("report")
    assert shown.stdout == run("report", "demo").stdout
    assert shown.stderr.startswith("demo: the benchmark used last\n")


def test_without_any_benchmark_it_says_how_to_make_one(run):
    with Writer.open(run.path):
        pass
    refused = run("report")
    assert refused.exit_code == 2
    assert "no benchmark in" in refused.stderr
    assert "rnnprop spec list" in refused.stderr


@pytest.fixture
def two(run):
    """A database with two benchmarks."""
    store_bench(run.path)
    with Writer.open(run.path) as writer:
        experiment_id = writer.begin_experiment(replace(FACTS, name="second"))
        facts = run_facts(1, "adam", 0)
        writer.add_runs(experiment_id, [facts])
        writer.record_results(experiment_id, [CellResult(facts.key, "done", 0.5)])
    return run


@pytest.mark.parametrize("output_format", ["table", "markdown", "latex", "csv", "json"])
def test_several_benchmarks_are_shown_one_after_the_other(two, output_format):
    shown = two("report", "second", "demo", "-f", output_format)
    assert shown.exit_code == 0
    if output_format == "json":
        assert [row["bench"] for row in json.loads(shown.stdout)] == ["second", *["demo"] * 4]
    elif output_format == "csv":
        assert [row["bench"] for row in csv.DictReader(io.StringIO(shown.stdout))] == [
            "second",
            *["demo"] * 4,
        ]
    else:
        assert shown.stdout.index("second") < shown.stdout.index("demo")


def test_a_page_is_of_one_benchmark(two):
    assert two("report", "second", "demo", "-f", "html").exit_code == 2


def test_two_databases_are_reported_as_one(run, tmp_path):
    half = tmp_path / "half.db"
    store_bench(run.path)
    store_bench(half, partial=True)
    whole = run("report", "demo", "-f", "csv").stdout
    both = CliRunner().invoke(app, ["--db", str(half), "--db", str(run.path), "report", "demo", "-f", "csv"])
    # the partial one has a fourth seed of adam, which waits
    assert both.stdout.replace(",4,", ",3,").count("\n") == whole.count("\n")
    assert "sgd" in both.stdout
    assert both.exit_code == 0


def test_other_results_in_the_second_database_are_told(run, tmp_path):
    store_bench(run.path)
    shutil.copy(run.path, tmp_path / "b.db")
    with closing(sqlite3.connect(tmp_path / "b.db")) as connection, connection:
        connection.execute("UPDATE run SET final_loss = 9 WHERE optimizer = 'adam'")
    shown = CliRunner().invoke(app, ["--db", str(run.path), "--db", str(tmp_path / "b.db"), "report", "demo"])
    assert shown.stdout == run("report", "demo").stdout
    assert "3 runs have other results in one database than in another" in shown.stderr


def test_a_command_that_takes_one_database_refuses_two(run):
    refused = run("--db", "other.db", "db", "check")
    assert refused.exit_code == 2
    assert "--db names 2 databases" in refused.stderr
