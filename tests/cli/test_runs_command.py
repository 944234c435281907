"""`rnnprop runs`: list, show, rm, export."""

import csv
import io
import json
import subprocess
import sys

import pytest
from stored_bench import has_no_control_characters, store_bench
from typer.testing import CliRunner

from rnnprop_cli.cli import console
from rnnprop_cli.cli.app import app
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "_color", console.Color.AUTO)
    monkeypatch.setenv("COLUMNS", "100")
    path = tmp_path / "x.db"
    store_bench(path)

    def invoke(*arguments, **options):
        return CliRunner().invoke(app, ["--db", str(path), "runs", *arguments], **options)

    invoke.path = path
    return invoke


def ids(path):
    with Reader.open(path) as reader:
        return [run.id for run in reader.runs(1)]


def test_list_shows_experiments_with_what_came_of_their_runs(run):
    result = run("list")
    assert result.exit_code == 0
    assert "demo" in result.stdout
    assert "3 diverged, 6 done, 3 failed" in result.stdout
    assert "demo" not in run("list", "--kind", "train").stdout


def test_list_shows_the_runs_of_an_experiment_and_narrows_to_a_status(run):
    assert run("list", "demo").stdout.count("final") == 12 + 1  # and the heading
    failed = run("list", "demo", "--status", "failed")
    assert failed.stdout.count("sgd") == 3
    assert "10: RuntimeError: no" in failed.stdout
    assert has_no_control_characters(failed.stdout)
    assert run("list", "-s", "failed", "-s", "diverged").stdout.count("mlp sigmoid") == 6
    limited = run("list", "demo", "--limit", "2")
    assert limited.stdout.count("mlp sigmoid") == 2
    assert "2 of 12" in limited.stderr


def test_show_tells_facts_result_and_course(run):
    result = run("show", "1")
    assert result.exit_code == 0
    for text in (
        "0001ccc",
        "demo (bench, id 1)",
        "learned",
        "0.03125",
        "0.2700",
        "90.00%",
        "0123abcd",
        "loss",
        "█",
    ):
        assert text in result.stdout
    diverged = run("show", "0007c")
    assert "NaN" in diverged.stdout
    assert "first bad step" in diverged.stdout
    assert has_no_control_characters(diverged.stdout + run("show", "10").stdout)


def test_show_of_an_unknown_run_is_a_usage_error(run):
    result = run("show", "4711")
    assert result.exit_code == 2
    assert "no run '4711'" in result.stderr


def test_rm_needs_yes_where_nobody_can_be_asked(run):
    result = run("rm", "1", "2")
    assert result.exit_code == 2
    assert "add --yes" in result.stderr
    assert len(ids(run.path)) == 12


def test_rm_removes_the_named_runs_and_only_them(run):
    assert run("rm", "1", "0002c", "2", "--yes").exit_code == 0
    assert ids(run.path) == list(range(3, 13))
    assert run("rm", "-e", "demo", "-s", "failed", "-y").exit_code == 0
    assert ids(run.path) == list(range(3, 10))


def test_rm_asks_on_a_terminal_and_no_means_no(run, monkeypatch):
    monkeypatch.setattr("rnnprop_cli.cli.runs.sys.stdin", None)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("rnnprop_cli.cli.runs.sys", type("sys", (), {"stdin": Terminal()}))
    assert run("rm", "1", input="n\n").exit_code == 1
    assert len(ids(run.path)) == 12
    assert run("rm", "1", input="y\n").exit_code == 0
    assert len(ids(run.path)) == 11


def test_rm_does_not_remove_what_has_become_good_since_the_question(run, monkeypatch):
    with Writer.open(run.path) as writer:
        writer.mark(1, [f"{number:04x}" + "c" * 60 for number in (1, 2)], "failed")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def answer(*_, **__):
        with Writer.open(run.path) as writer:
            writer.mark(1, ["0001" + "c" * 60], "done")
        return True

    monkeypatch.setattr("rnnprop_cli.cli.runs.sys", type("sys", (), {"stdin": Terminal()}))
    monkeypatch.setattr("rnnprop_cli.cli.runs.typer.confirm", answer)
    result = run("rm", "1", "2", "3")
    assert result.exit_code == 1
    assert "removed 2 runs" in result.stderr
    assert "1 run changed or went while you were asked" in result.stderr
    assert ids(run.path) == [1, *range(4, 13)]


def test_rm_is_refused_while_a_run_is_writing(run):
    with Writer.open(run.path):
        result = run("rm", "1", "--yes")
    assert result.exit_code == 3
    assert "is writing here" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("1", "-e", "demo")])
@pytest.mark.parametrize("command", ["rm", "export"])
def test_which_runs_must_be_said_once(run, command, arguments):
    assert run(command, *arguments).exit_code == 2


def test_export_writes_curves_as_csv_and_json(run):
    records = list(csv.DictReader(io.StringIO(run("export", "1", "2").stdout)))
    assert len(records) == 200
    assert (records[0]["run"], records[0]["metric"], records[0]["step"], records[0]["value"]) == (
        *("1", "loss", "0"),
        "1.0",
    )
    curves = json.loads(run("export", "-e", "demo", "-f", "json", "-m", "loss").stdout)
    assert len(curves) == 9  # the failed runs have none
    assert len(curves[0]["values"]) == 100


def test_export_into_a_file_overwrites_nothing(run, tmp_path):
    target = tmp_path / "curves.csv"
    assert run("export", "1", "-o", str(target)).stdout == ""
    assert target.read_text().count("\n") == 101
    result = run("export", "2", "-o", str(target))
    assert result.exit_code == 3
    assert "exists already" in result.stderr
    assert target.read_text().startswith("run,experiment,dataset")


def test_export_of_nothing_is_a_usage_error(run):
    assert run("export", "10").exit_code == 2
    result = run("export", "1", "-m", "los")
    assert result.exit_code == 2
    assert "no curve of los" in result.stderr


def test_long_exports_can_be_cut_short_by_their_reader(run):
    command = [sys.executable, "-m", "rnnprop_cli", "--db", str(run.path), "runs", "export", "-e", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"run,")
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_the_runs_of_an_experiment_come_as_json_one_a_line_with_their_final_losses(run):
    rows = [json.loads(line) for line in run("list", "demo", "--json").stdout.splitlines()]
    assert len(rows) == len(ids(run.path))
    assert all(
        {"seed", "optimizer", "lr", "phase", "status", "final_loss", "horizon"} <= row.keys() for row in rows
    )
