"""The scripts under benchmarks/ run, in small, and say what they promise."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rnnprop_cli.execute.weights import weights_from
from rnnprop_cli.store.checkpoints import load_checkpoint

FOLDER = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: str) -> str:
    """Its output; benchmarks take MNIST only where it is, so that none must be."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, str(FOLDER / script), *arguments], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def numbers(script: str, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(script, *arguments, "--json", "--threads", "1").splitlines()[-1])
    return found


@pytest.mark.slow
def test_meta_training_tells_its_ratios_and_memory() -> None:
    found = numbers("meta_training.py", "--synthetic", "--rounds", "1", "--bodies", "reference", "eager")
    assert found["ratio_to_floor"]["reference"] > 0
    assert found["speedup_vs_reference"]["eager"] == 1
    assert 10**8 < found["peak_bytes"]["reference"] < 10**9


@pytest.mark.slow
def test_matrix_compares_every_kind_with_a_loop() -> None:
    small = ("--seeds", "1", "--rates", "2", "--steps", "3", "--loop-cells", "1", "--rounds", "1")
    found = numbers("matrix.py", "--synthetic", *small)
    assert {row["kind"].split()[0].strip(",") for row in found["kinds"]} == {
        "mlp",
        "conv",
        "lstm",
        "quadratic",
    }
    for row in found["kinds"]:
        assert row["cells"] == 2
        assert row["speedup_vs_loop"] > 0
        assert row["ratio_to_floor"] > 0
    assert found["cpu_capability"]


@pytest.mark.slow
def test_step_compares_with_eager() -> None:
    assert numbers("step.py", "--synthetic", "--rounds", "2")["speedup_vs_eager"] > 0


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_gpu_suite_goes_all_its_way_on_a_cpu(tmp_path: Path) -> None:
    text = run("gpu_suite.py", "--dry-run", "--out", str(tmp_path))
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["failed"] == {}
    assert results["correctness"]["ok"]
    assert results["recorded"]["ok"]
    assert results["timings"]["seconds"]
    assert "A dry run" in text
    assert (tmp_path / "curve.csv").read_text().count("\n") == 3
    tensors, metadata = load_checkpoint(tmp_path / "rnnprop_gpu.safetensors")
    assert weights_from(tensors, metadata, "", "here").rule().n_meta_params == 6641


@pytest.mark.slow
def test_search_judges_its_choices_on_fresh_seeds() -> None:
    found = numbers("search.py", "--dataset", "digits", "--roots", "1", "--seeds", "5", "--steps", "20")
    assert [one["search"] for one in found] == ["grid and confirmation", "grid alone"]
    assert found[0]["runs"] >= found[1]["runs"] + 30
    assert all(len(one["percent_over_neighbours"]) == 2 for one in found)


@pytest.mark.slow
def test_engines_tell_what_a_cell_costs_and_give_one_table() -> None:
    found = json.loads(run("engines.py", "--engines", "local", "--cells", "200", "--json").splitlines()[-1])
    assert found["local"]["cells"] == 200
    assert 0 < found["local"]["driver_ms_per_cell"] < 5
    assert found["local"]["same_table_as_local"]
