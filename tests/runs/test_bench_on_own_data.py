"""A benchmark on the user's own data: what is recorded of them, and what a change of them does."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.transformer import TransformerSpec
from rnnprop_cli.components.optimizers.sgd import SGDSpec
from rnnprop_cli.errors import DataError
from rnnprop_cli.execute.bench import BatchJob, run_batch
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.records import RunInfo
from rnnprop_cli.runs.bench import run_bench
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.view.table.rows import SummaryRow
from rnnprop_cli.view.table.summary import summarize

ENGINE = Engine("cpu", 1, None, "reference")


def own(folder: Path, classes: int = 3) -> str:
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 5)), np.arange(60) % classes
    np.savez(folder / "mine.npz", x=x, y=y, x_test=x[:9], y_test=y[:9])
    np.savez(folder / "numbers.npz", x=x, y=x[:, 0])
    (folder / "poem.txt").write_text("to be or not to be " * 30)
    return str(folder)


def spec_of(folder: str, rate: float = 0.1) -> BenchSpec:
    return BenchSpec(
        name="own",
        seeds=2,
        horizon=(4,),
        minibatch=8,
        optimizees=(
            MLPSpec(dataset=f"{folder}/mine.npz", hidden=3),
            MLPSpec(dataset=f"{folder}/numbers.npz", hidden=3),
            MLPSpec(dataset="digits", hidden=3),
            TransformerSpec(dataset=f"{folder}/poem.txt", width=4, layers=1, length=3),
            TransformerSpec(width=4, layers=1, length=3, symbols=6),
        ),
        optimizers=(SGDSpec(lr=rate),),
        calibrated=False,
    )


def stored(database: Path) -> tuple[list[RunInfo], dict[str | None, SummaryRow]]:
    with Reader.open(database) as reader:
        experiment = reader.find_experiment("own")
        runs = reader.runs(experiment.id)
    return runs, {row.problem.dataset: row for row in summarize(experiment, runs).rows}


def test_chance_and_held_out_data_follow_from_the_data(tmp_path: Path) -> None:
    run_bench(spec_of(own(tmp_path / "a")), "", tmp_path / "x.db", ENGINE, lambda event: None)
    runs, rows = stored(tmp_path / "x.db")
    assert {name: row.chance_loss for name, row in rows.items()} == {
        "mine": math.log(3),
        "numbers": None,
        "digits": math.log(10),
        "poem": math.log(7),
        None: math.log(6),
    }
    assert {name for name, row in rows.items() if row.heldout.loss.centre is not None} == {
        "mine",
        "digits",
        "poem",
    }
    assert {name for name, row in rows.items() if row.heldout.accuracy.centre is not None} == {
        "mine",
        "digits",
        "poem",
    }
    environments = {run.facts.dataset: json.loads(run.facts.config_json)["environment"] for run in runs}
    assert "chance_loss" not in environments["digits"]  # known by name, as ever
    assert environments["numbers"]["chance_loss"] is None


def test_a_run_at_chance_is_one_by_its_own_data(tmp_path: Path) -> None:
    run_bench(spec_of(own(tmp_path / "a"), rate=1e-9), "", tmp_path / "x.db", ENGINE, lambda event: None)
    _, rows = stored(tmp_path / "x.db")
    assert (rows["mine"].counts.stuck, rows["numbers"].counts.stuck) == (2, 0)


def test_moved_data_are_the_same_and_changed_ones_are_others(tmp_path: Path) -> None:
    def ran(folder: str) -> int:
        return run_bench(spec_of(folder), "", tmp_path / "x.db", ENGINE, lambda event: None).ran

    here = own(tmp_path / "a")
    assert ran(here) == 10
    assert ran(str((tmp_path / "a").rename(tmp_path / "b"))) == 0
    assert ran(own(tmp_path / "b", classes=4)) == 2


def test_data_that_change_while_a_benchmark_runs_end_it(tmp_path: Path) -> None:
    (batch,) = lanes(spec_of(own(tmp_path / "a")), "mine*")[0].first_batches()
    job = BatchJob(batch, ("k", "l"), None, ENGINE, 100, "0" * 64)
    with pytest.raises(DataError, match=r"mine.npz were exchanged while this was running"):
        list(run_batch(job))
    assert list(run_batch(replace(job, dataset_sha256=None)))
