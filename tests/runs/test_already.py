"""A dry run knows what a database has of a benchmark, and what an edited one would take over."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.identity import identity_facts
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.runs import already
from rnnprop_cli.runs.already import kept_lanes
from rnnprop_cli.runs.bench import run_bench
from rnnprop_cli.spec.load import load_bench

SPEC = """
name = "small"
seeds = 3
horizon = 5
calibrated = false

[[optimizees]]
kind = "quadratic"

[[optimizers]]
kind = ["adam", "sgd"]

[tuning]
points = 3
confirm_seeds = false

[[exclude]]
where = { kind = "conv" }
"""


@pytest.fixture
def measured(tmp_path: Path) -> tuple[Path, Path, int]:
    """A spec, the database that has all of it, and how many cells that are."""
    spec, database = tmp_path / "small.toml", tmp_path / "runs.db"
    spec.write_text(SPEC)
    engine = Engine("cpu", 1, None, "reference")
    outcome = run_bench(load_bench(spec), SPEC, database, engine, lambda event: None)
    return spec, database, outcome.cells


def dry_run(spec: Path, database: Path, *more: str) -> Result:
    here = ("--db", str(database), "bench", "--spec", str(spec), "--dry-run")
    place = ("--device", "cpu", "--threads", "1", "--kernel", "reference")
    result = CliRunner().invoke(app, [*here, *place, *more])
    assert result.exit_code == 0, result.output
    return result


def plan(spec: Path, database: Path, *more: str) -> dict[str, dict[str, int]]:
    result = dry_run(spec, database, "--json", *more)
    return {lane["lane"].split("/")[1]: lane for lane in json.loads(result.stdout)["lanes"]}


def test_of_a_finished_benchmark_nothing_is_left(measured: tuple[Path, Path, int]) -> None:
    spec, database, cells = measured
    found = plan(spec, database)
    assert sum(lane["kept"] for lane in found.values()) == cells
    assert all(lane["cells"] == lane["kept"] and lane["batches"] == 0 for lane in found.values())
    assert all(lane["seconds"] == 0 for lane in found.values())
    assert f"nothing is left to run: all {cells} cells are there already" in dry_run(spec, database).stdout


def test_an_edited_benchmark_runs_what_is_new(measured: tuple[Path, Path, int]) -> None:
    spec, database, _ = measured
    spec.write_text(
        SPEC.replace('["adam", "sgd"]', '["adam", "sgd", "momentum"]').replace("seeds = 3", "seeds = 4")
    )
    found = plan(spec, database)
    assert found["momentum"]["kept"] == 0 < found["momentum"]["batches"]
    assert 0 < found["adam"]["kept"] < found["adam"]["cells"]  # the search is there, the fourth seed is not
    assert found["adam"]["seconds"] > 0
    outcome = run_bench(
        load_bench(spec), spec.read_text(), database, Engine("cpu", 1, None, "reference"), lambda e: None
    )
    assert outcome.cells - outcome.ran == found["adam"]["kept"] + found["sgd"]["kept"]


def test_what_another_version_computed_is_not_there(
    measured: tuple[Path, Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, database, _ = measured
    monkeypatch.setattr(already, "identity_facts", lambda *given: identity_facts(*given) | {"numerics": -1})
    assert all(lane["kept"] == 0 < lane["batches"] for lane in plan(spec, database).values())


def test_fresh_counts_everything(measured: tuple[Path, Path, int]) -> None:
    spec, database, _ = measured
    assert all(lane["kept"] == 0 for lane in plan(spec, database, "--fresh").values())


def test_without_a_database_nothing_is_there_and_none_is_made(tmp_path: Path) -> None:
    spec = tmp_path / "small.toml"
    spec.write_text(SPEC)
    assert (
        kept_lanes(load_bench(spec), lanes(load_bench(spec)), Engine("cpu", 1, None), tmp_path / "no.db")
        == {}
    )
    assert all(lane["kept"] == 0 for lane in plan(spec, tmp_path / "no.db").values())
    assert not (tmp_path / "no.db").exists()


def test_a_plan_needs_no_dataset_and_says_in_one_line_what_it_did_not_see(
    measured: tuple[Path, Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, database, _ = measured
    monkeypatch.setenv("RNNPROP_CACHE_DIR", str(tmp_path / "empty"))
    spec.write_text(SPEC.replace('kind = "quadratic"', 'kind = "mlp"\ndataset = "mnist"'))
    result = dry_run(spec, database, "--data-dir", str(tmp_path))
    assert result.stderr.startswith("what is there already was not looked for: dataset mnist is not here")
    assert result.stderr.count("\n") == 1
    assert "cells in" in result.stdout


def test_a_plan_is_shown_where_the_database_cannot_be_read(tmp_path: Path) -> None:
    spec, database = tmp_path / "small.toml", tmp_path / "runs.db"
    spec.write_text(SPEC)
    database.write_bytes(b"no database" * 100)
    result = dry_run(spec, database)
    assert "what is there already was not looked for" in result.stderr
    assert "cells in" in result.stdout
