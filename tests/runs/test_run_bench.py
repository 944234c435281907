"""A benchmark from spec to store: tuning, pairing, divergence, resuming."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.quadratic import QuadraticSpec
from rnnprop_cli.components.optimizers.adam import AdamSpec
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.components.optimizers.sgd import SGDSpec
from rnnprop_cli.errors import UsageError
from rnnprop_cli.execute import bench as bench_module
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.records import LOSS, RunInfo
from rnnprop_cli.runs.bench import BenchOutcome, run_bench
from rnnprop_cli.runs.observer import BatchFinished, BatchStep, Event
from rnnprop_cli.seeds import fresh_seeds
from rnnprop_cli.spec.bench import BenchSpec, TuningSpec
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.view.table.summary import summarize

ENGINE = Engine("cpu", 1, None, "reference")
SPEC = BenchSpec(
    name="small",
    seeds=3,
    horizon=(12,),
    minibatch=16,
    optimizees=(MLPSpec(dataset="digits", hidden=4),),
    optimizers=(AdamSpec(), SGDSpec(lr=0.5)),
    tuning=TuningSpec(seeds=2, points=5, confirm_seeds=3),
    calibrated=False,
)


def run(
    path: Path, spec: BenchSpec = SPEC, observe: Any = lambda event: None, **options: Any
) -> BenchOutcome:
    return run_bench(spec, "", path, ENGINE, observe, **options)


def stored(path: Path, name: str = "small") -> list[RunInfo]:
    with Reader.open(path) as reader:
        return reader.runs(reader.find_experiment(name).id)


def final_losses(path: Path) -> dict[tuple[str, str, float | None, int], float | None]:
    return {
        (run.facts.phase, run.facts.optimizer, run.facts.lr, run.facts.seed): run.result.final_loss
        for run in stored(path)
    }


def test_every_cell_is_stored_with_its_result_and_its_curve(tmp_path: Path) -> None:
    outcome = run(tmp_path / "a.db")
    runs = stored(tmp_path / "a.db")
    assert outcome.cells == outcome.ran == len(runs)
    assert {info.result.status for info in runs} == {"done"}
    assert {info.facts.phase for info in runs} == {"tuning", "final", "default"}
    with Reader.open(tmp_path / "a.db") as reader:
        for info in runs:
            steps, values = reader.curve(info.id, LOSS)
            assert steps.tolist() == list(range(12))
            assert np.isfinite(values).all()
            assert (info.result.heldout_accuracy is None) == (info.facts.phase == "tuning")


def test_final_runs_use_the_best_tuned_rate_on_seeds_that_tuning_never_saw(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    runs = [info for info in stored(tmp_path / "a.db") if info.facts.optimizer == "adam"]
    tuning = [info for info in runs if info.facts.phase == "tuning"]
    means: dict[float, float] = {}
    for rate in {info.facts.lr for info in tuning}:
        losses = [info.result.final_loss for info in tuning if info.facts.lr == rate]
        means[rate or 0.0] = sum(loss or 0.0 for loss in losses) / len(losses)
    final = [info for info in runs if info.facts.phase == "final"]
    confirmed = {rate for rate in means if sum(info.facts.lr == rate for info in tuning) == 5}
    assert len(confirmed) >= 3
    assert {info.facts.lr for info in final} == {min(confirmed, key=lambda rate: means[rate or 0.0])}
    assert {info.facts.seed for info in final} == set(fresh_seeds(0, 3))
    assert not {info.facts.seed for info in final} & {info.facts.seed for info in tuning}


def test_optimizers_are_paired_by_seed(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    with Reader.open(tmp_path / "a.db") as reader:
        first: dict[int, set[float]] = {}
        for info in stored(tmp_path / "a.db"):
            if info.facts.phase == "final":
                first.setdefault(info.facts.seed, set()).add(round(reader.curve(info.id, LOSS)[1][0], 5))
    assert all(len(losses) == 1 for losses in first.values())
    assert len({loss for losses in first.values() for loss in losses}) == 3


def test_the_same_command_again_runs_nothing(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    before = final_losses(tmp_path / "a.db")
    again = run(tmp_path / "a.db")
    assert again.ran == 0
    assert again.cells == len(before)
    assert final_losses(tmp_path / "a.db") == before


def curves(path: Path) -> dict[str, list[float]]:
    with Reader.open(path) as reader:
        return {info.facts.key: reader.curve(info.id, LOSS)[1].tolist() for info in stored(path)}


def test_an_edited_spec_computes_only_what_it_has_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    first = run(path)
    before, known = final_losses(path), curves(path)
    edited = SPEC.model_copy(update={"optimizers": (*SPEC.optimizers, SGDSpec(lr=0.25, label="slow"))})
    outcome = run(path, edited)
    assert (outcome.cells - first.cells, outcome.ran) == (3, 3)
    assert before.items() < final_losses(path).items()
    assert known.items() < curves(path).items()
    assert run(path, edited).ran == 0
    assert run(path, edited, fresh=True).ran == outcome.cells
    # another benchmark's results are its own, and so are curves of other points
    assert run(path, edited.model_copy(update={"name": "other"})).ran == outcome.cells
    assert run(path, edited.model_copy(update={"curve_points": 5})).ran == outcome.cells


class Stopped(BaseException):
    """Stands for a kill -9 between two statements."""


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_killed_benchmark_goes_on_and_ends_with_the_same_table(tmp_path: Path, after: int) -> None:
    run(tmp_path / "whole.db")
    finished = 0

    def die(event: Event) -> None:
        nonlocal finished
        finished += isinstance(event, BatchFinished)
        if finished == after and isinstance(event, BatchStep | BatchFinished):
            raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path / "cut.db", observe=die)
    kept = sum(info.result.status == "done" for info in stored(tmp_path / "cut.db"))
    outcome = run(tmp_path / "cut.db")
    assert kept > 0
    assert outcome.ran == outcome.cells - kept
    assert final_losses(tmp_path / "cut.db") == final_losses(tmp_path / "whole.db")


def test_a_diverged_cell_is_stored_as_diverged_with_its_first_bad_step(tmp_path: Path) -> None:
    wild = SPEC.model_copy(
        update={
            "optimizees": (QuadraticSpec(),),
            "optimizers": (SGDSpec(lr=1e30), SGDSpec(lr=0.5, label="tame")),
        }
    )
    # The paper's convex function is clipped, so only the MLP can blow up.
    wild = wild.model_copy(update={"optimizees": (MLPSpec(dataset="digits", activation="relu"),)})
    outcome = run(tmp_path / "a.db", wild)
    by_name = {info.facts.optimizer: info.result for info in stored(tmp_path / "a.db")}
    assert outcome.diverged == 3
    assert outcome.failed == 0
    assert by_name["sgd"].status == "diverged"
    assert by_name["sgd"].first_bad_step in range(1, 13)
    assert by_name["tame"].status == "done"


def test_a_batch_that_fails_is_stored_with_its_reason_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bench_module.run_batch

    def refuse(job: Any) -> Any:
        if job.batch.optimizer.kind == "sgd":
            raise RuntimeError("something broke")
        return real(job)

    monkeypatch.setattr(bench_module, "run_batch", refuse)
    outcome = run(tmp_path / "a.db")
    failed = [info for info in stored(tmp_path / "a.db") if info.result.status == "failed"]
    assert outcome.failed == len(failed) == 3
    assert failed[0].result.error == "RuntimeError: something broke"

    monkeypatch.setattr(bench_module, "run_batch", real)
    assert run(tmp_path / "a.db").ran == 0
    assert run(tmp_path / "a.db", retry_failed=True).ran == 3
    assert {info.result.status for info in stored(tmp_path / "a.db")} == {"done"}


def test_splitting_by_memory_changes_which_cells_run_together_but_loses_none(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    run(tmp_path / "b.db", SPEC.model_copy(update={"memory_mb": 1}))
    whole, parts = final_losses(tmp_path / "a.db"), final_losses(tmp_path / "b.db")
    assert whole.keys() == parts.keys()
    for key, loss in whole.items():
        assert parts[key] == pytest.approx(loss, rel=1e-4)  # float32, sums in another order


def test_another_thread_count_is_another_experiment(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    outcome = run_bench(SPEC, "", tmp_path / "a.db", replace(ENGINE, threads=2), lambda event: None)
    assert outcome.ran == outcome.cells


def test_fresh_starts_anew_and_gives_the_same_bits(tmp_path: Path) -> None:
    first = run(tmp_path / "a.db")
    before = final_losses(tmp_path / "a.db")
    again = run(tmp_path / "a.db", fresh=True)
    assert again.experiment_id != first.experiment_id
    assert again.ran == again.cells
    assert final_losses(tmp_path / "a.db") == before


def test_only_runs_the_lanes_it_names(tmp_path: Path) -> None:
    run(tmp_path / "a.db", only="*/sgd")
    assert {info.facts.optimizer for info in stored(tmp_path / "a.db")} == {"sgd"}


def test_a_run_says_where_its_learning_rate_comes_from(tmp_path: Path) -> None:
    run(tmp_path / "a.db")
    sources = {
        (info.facts.optimizer, info.facts.phase, info.facts.lr_source) for info in stored(tmp_path / "a.db")
    }
    assert sources == {
        ("adam", "tuning", "tuned"),
        ("adam", "final", "tuned"),
        ("adam", "default", "default"),
        ("sgd", "final", "given"),
    }


def test_unknown_weights_are_refused_before_anything_runs_with_the_command_that_makes_them(
    tmp_path: Path,
) -> None:
    spec = SPEC.model_copy(update={"optimizers": (LearnedSpec(weights="nobody"),)})
    with pytest.raises(UsageError, match="rnnprop train --spec FILE --name nobody"):
        run(tmp_path / "a.db", spec)
    assert not (tmp_path / "a.db").exists()


def test_a_learned_optimizer_runs_under_a_schedule(tmp_path: Path) -> None:
    """A cosine starts at 1: the first step is the plain one, the later ones are shorter."""
    schedules: tuple[Any, ...] = ("constant", "cosine")
    rows = tuple(LearnedSpec(weights="quick", schedule=schedule) for schedule in schedules)
    run(tmp_path / "a.db", SPEC.model_copy(update={"optimizers": rows, "seeds": 2}))
    runs = {(each.facts.optimizer, each.facts.seed): each for each in stored(tmp_path / "a.db")}
    with Reader.open(tmp_path / "a.db") as reader:
        losses = {key: reader.curve(each.id, "loss")[1] for key, each in runs.items()}
    assert {name for name, _ in runs} == {"quick", "quick cosine"}
    for (name, seed), values in losses.items():
        if name == "quick":
            assert (values[:2] == losses["quick cosine", seed][:2]).all()
            assert (values[2:] != losses["quick cosine", seed][2:]).all()


def test_a_learned_optimizer_gets_the_same_search_when_it_is_asked_for(tmp_path: Path) -> None:
    learned = (LearnedSpec(weights="quick"), LearnedSpec(weights="quick", lr="tuned"))
    spec = SPEC.model_copy(update={"optimizers": (*SPEC.optimizers, *learned), "seeds": 2})
    run(tmp_path / "a.db", spec)
    runs = stored(tmp_path / "a.db")
    with Reader.open(tmp_path / "a.db") as reader:
        rows = summarize(reader.find_experiment("small"), runs).rows
    own, tuned = (next(row for row in rows if row.optimizer == name) for name in ("quick", "quick tuned"))
    assert (own.lr_source, own.learning_rate, own.search.rates) == ("own", 0.1, ())
    assert (tuned.lr_source, tuned.counts.seeds, tuned.is_tuned_baseline) == ("tuned", 2, False)
    best = min(tuned.search.rates, key=lambda point: point.loss.centre or float("inf"))
    assert tuned.learning_rate == best.learning_rate
    assert len(tuned.search.rates) >= SPEC.tuning.points
    assert not [row for row in rows if row.phase == "default" and row.optimizer.startswith("quick")]
