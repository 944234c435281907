"""`rnnprop db`: path, check, backup, migrate."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stored_bench import FACTS, run_facts, store_bench
from typer.testing import CliRunner

import rnnprop_cli
from rnnprop_cli.cli.app import app
from rnnprop_cli.records import TRAIN_LOSS, CheckpointInfo, CurveBlock
from rnnprop_cli.spec.load import load_train
from rnnprop_cli.store.checkpoints import save_checkpoint
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "results" / "x.db"

    def invoke(*arguments):
        return CliRunner().invoke(app, ["--db", str(path), "db", *arguments])

    invoke.path = path
    return invoke


def test_path_is_printed_even_where_there_is_no_database_yet(run):
    result = run("path")
    assert (result.exit_code, result.stdout.strip()) == (0, str(run.path.resolve()))
    assert not run.path.parent.exists()


def test_check_counts_what_a_sound_database_holds(run):
    store_bench(run.path)
    result = run("check")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "sound: schema 3, 1 experiments, 12 runs, 900 curve values, 0 checkpoints"
    )


def test_check_finds_damage(run):
    store_bench(run.path)
    with closing(sqlite3.connect(run.path)) as connection, connection:
        connection.execute("UPDATE chunk SET data = x'00' WHERE run_id = 2")
        connection.execute("UPDATE run SET experiment_id = 77 WHERE id = 3")
    result = run("check")
    assert result.exit_code == 3
    assert "curve of run 2 is damaged" in result.stderr
    assert "has lost its experiment" in result.stderr


def test_check_verifies_checkpoints(run):
    recipe = load_train(Path(rnnprop_cli.__file__).parents[1] / "bench_specs" / "train_rnnprop.toml")
    resolved = json.dumps({"spec": recipe.model_dump(mode="json"), "environment": {}})
    with Writer.open(run.path) as writer, Reader.open(run.path) as reader:
        experiment_id = writer.begin_experiment(replace(FACTS, kind="train", spec_json=resolved))
        facts = run_facts(1, "rnnprop", 0)
        writer.add_runs(experiment_id, [facts])
        folder = reader.experiment(experiment_id).folder
        writer.append_curves(experiment_id, [CurveBlock(facts.key, TRAIN_LOSS, 1, np.ones(1, np.float32))])
        saved = save_checkpoint(run.path.parent / folder, "meta-000000001", {"x": np.ones(3)}, {})
        info = CheckpointInfo(1, f"{folder}/meta-000000001.safetensors", saved.sha256, None)
        writer.add_checkpoint(experiment_id, facts.key, info)
    assert "1 checkpoints" in run("check").stdout
    saved.path.write_bytes(b"x" + saved.path.read_bytes()[1:])
    result = run("check")
    assert result.exit_code == 4
    assert "meta-000000001.safetensors: is damaged" in result.stderr
    assert "--from-scratch" in result.stderr


def test_backup_copies_what_a_running_writer_has_committed(run, tmp_path):
    store_bench(run.path)
    target = tmp_path / "copy.db"
    with Writer.open(run.path) as writer:
        writer.add_runs(1, [run_facts(500, "adam", 9)])
        result = run("backup", str(target))
    assert (result.exit_code, result.stdout.strip()) == (0, str(target))
    with Reader.open(target) as reader:
        assert len(reader.runs(1)) == 13
        assert len(reader.curve(1, "loss")[0]) == 100
    with Writer.open(target) as writer:  # and it can be written again
        writer.log_event(1, "note", "hello")


def test_backup_without_a_name_lies_beside_the_database_and_overwrites_nothing(run, tmp_path):
    store_bench(run.path)
    made = run("backup").stdout.strip()
    assert made.startswith(str(run.path.with_suffix("")) + "-")
    victim = tmp_path / "precious"
    victim.write_text("x")
    result = run("backup", str(victim))
    assert result.exit_code == 3
    assert victim.read_text() == "x"
    assert run("backup", str(tmp_path / "no" / "folder.db")).exit_code == 3
    assert not list(tmp_path.rglob(".*"))


def test_migrate_says_that_there_is_nothing_to_do(run):
    store_bench(run.path)
    assert run("migrate").stdout == "up to date: schema 3\n"


@pytest.mark.parametrize("command", ["check", "backup", "migrate"])
def test_an_absent_database_is_not_made(run, command):
    result = run(command)
    assert result.exit_code == 3
    assert "there is no database" in result.stderr
    assert not run.path.exists()
