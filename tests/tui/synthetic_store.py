"""Databases for the tests of the app, written through the store's own writer."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rnnprop_cli.records import (
    LOSS,
    MOVING_AVERAGE,
    RATE,
    TRAIN_LOSS,
    VALIDATION_LOSS,
    CellResult,
    CheckpointInfo,
    CurveBlock,
    ExperimentFacts,
    Phase,
    RunFacts,
)
from rnnprop_cli.store.writer import Writer

EVIL = "evil\x1b]52;c;aGk=\x07\x1b[31m\u202e name"

BENCH = ExperimentFacts(
    kind="bench",
    name="deep_mlp",
    spec_toml='name = "deep_mlp"  # made up\nseeds = 3\n\n[[optimizees]]\nkind = "mlp"\n',
    spec_json=json.dumps({"spec": {"name": "deep_mlp", "seeds": 3}}),
    spec_sha256="a" * 64,
    git_sha="0123abcd",
    versions='{"python": "3.11"}',
    argv='["bench", "--spec", "deep_mlp.toml"]',
    host="elsewhere Linux x86_64",
)
TRAIN = replace(
    BENCH,
    kind="train",
    name="quick",
    spec_toml='name = "quick"\n',
    spec_json=json.dumps({"spec": {"meta_iterations": 400, "checkpoint": {"select": "moving_average"}}}),
    spec_sha256="b" * 64,
    argv='["train", "--spec", "quick.toml"]',
)
_FLOORS = {"rnnprop": 0.10, "adam": 0.11, "sgd": 0.2, "momentum": 0.15}


def run_facts(
    optimizer: str, seed: int, *, phase: Phase = "final", lr: float | None = None, **facts: object
) -> RunFacts:
    learned = optimizer.startswith("rnnprop")
    plain: dict[str, object] = {
        "optimizee": "mlp sigmoid",  # as databases of earlier versions say it
        "dataset": "digits",
        "depth": 1,
        "activation": "sigmoid",
        "horizon": 100,
        "lr_source": "own" if learned else "default" if phase == "default" else "tuned",
    } | facts
    rate = lr if lr is not None else 0.1 if learned else 2.0**-5
    config = {"optimizer": optimizer, "phase": phase, "lr": rate, "seed": seed, **plain}
    return RunFacts(
        key=hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
        phase=phase,
        optimizer=optimizer,
        is_baseline=not learned,
        lr=rate,
        seed=seed,
        config_json=json.dumps(config),
        device="cpu",
        dtype="float32",
        threads=1,
        **plain,  # type: ignore[arg-type]
    )


def losses(run: RunFacts, points: int | None = None) -> np.ndarray:
    """A curve that falls to a floor of its optimizer's."""
    step = np.arange(points or run.horizon)
    rng = np.random.default_rng(int(run.key[:8], 16))
    floor = _FLOORS.get(run.optimizer, 0.3) * (1 + 0.05 * run.seed)
    curve = floor + 2 * np.exp(-step / (0.1 * run.horizon))
    return (curve * np.exp(0.05 * rng.standard_normal(step.size))).astype(np.float32)


def add_done(writer: Writer, experiment: int, runs: Sequence[RunFacts], **result: object) -> None:
    writer.add_runs(experiment, runs)
    writer.mark_running(experiment, [run.key for run in runs])
    results, blocks = [], []
    for run in runs:
        values = losses(run)
        outcome: dict[str, object] = {
            "status": "done",
            "final_loss": float(values[-1]),
            "heldout_loss": float(values[-1]) + 0.1,
            "heldout_accuracy": 0.9,
            "elapsed_s": 0.5,
        } | result
        results.append(CellResult(run.key, **outcome))  # type: ignore[arg-type]
        blocks.append(CurveBlock(run.key, LOSS, 0, values))
    writer.record_results(experiment, results, blocks)


def seeds_of(optimizer: str, seeds: int = 3, **facts: object) -> list[RunFacts]:
    return [run_facts(optimizer, seed, **facts) for seed in range(seeds)]  # type: ignore[arg-type]


def make_bench(path: Path, *, depths: Sequence[int] = (1, 2), horizons: Sequence[int] = (100,)) -> None:
    """A matrix with a search, tuned, untuned and learned runs on every problem."""
    with Writer.open(path) as writer:
        experiment = writer.begin_experiment(BENCH)
        for depth in depths:
            for horizon in horizons:
                where = {"depth": depth, "horizon": horizon}
                for k in range(4):
                    rate = 2.0 ** -(k + 3)
                    add_done(writer, experiment, seeds_of("adam", 2, phase="tuning", lr=rate, **where))
                for name in ("adam", "sgd", "rnnprop"):
                    add_done(writer, experiment, seeds_of(name, **where))
                add_done(writer, experiment, seeds_of("adam", phase="default", lr=1e-3, **where))


def make_troubled_bench(path: Path) -> None:
    """Diverged, failed, interrupted, queued, running and NaN runs, and a name full of control characters."""
    with Writer.open(path) as writer:
        experiment = writer.begin_experiment(replace(BENCH, name=EVIL))
        add_done(writer, experiment, seeds_of("adam"))
        diverged = seeds_of("sgd")
        add_done(
            writer, experiment, diverged[:1], status="diverged", final_loss=float("nan"), first_bad_step=53
        )
        add_done(writer, experiment, diverged[1:])
        failed = seeds_of("momentum")
        add_done(
            writer, experiment, failed, status="failed", final_loss=None, error="RuntimeError: no\x1b[2J room"
        )
        nan = run_facts(EVIL, 0)
        writer.add_runs(experiment, [nan])
        writer.mark_running(experiment, [nan.key])
        values = np.full(100, np.nan, dtype=np.float32)
        writer.record_results(
            experiment, [CellResult(nan.key, "done", float("inf"))], [CurveBlock(nan.key, LOSS, 0, values)]
        )
        stopped, running, queued = (run_facts(name, 0) for name in ("rmsprop", "rnnprop", "adagrad"))
        writer.add_runs(experiment, [stopped, running, queued])
        writer.mark_running(experiment, [stopped.key, running.key])
        writer.append_curves(experiment, [CurveBlock(stopped.key, LOSS, 0, losses(stopped, 30))])
        writer.append_curves(experiment, [CurveBlock(running.key, LOSS, 0, losses(running, 40))])
        writer.mark(experiment, [stopped.key], "interrupted")


def make_training(path: Path, *, done: int = 400, status: str = "done") -> None:
    """A meta-training with its curves and checkpoints."""
    run = replace(run_facts("rnnprop", 0), phase="train", horizon=100)
    with Writer.open(path) as writer:
        experiment = writer.begin_experiment(TRAIN)
        writer.add_runs(experiment, [run])
        writer.mark_running(experiment, [run.key])
        step = np.arange(1, done + 1)
        rng = np.random.default_rng(0)
        loss = (0.3 + 3 * np.exp(-step / 60) * np.exp(0.2 * rng.standard_normal(done))).astype(np.float32)
        average = (0.3 + 3 * np.exp(-step / 60)).astype(np.float32)
        writer.append_curves(
            experiment,
            [
                CurveBlock(run.key, TRAIN_LOSS, 1, loss),
                CurveBlock(run.key, MOVING_AVERAGE, 1, average),
                CurveBlock(run.key, RATE, 1, np.full(done, 6.0, dtype=np.float32)),
                CurveBlock(run.key, VALIDATION_LOSS, 100, average[99::100], stride=100),
            ],
        )
        for at in range(100, done + 1, 100):
            writer.add_checkpoint(
                experiment,
                run.key,
                CheckpointInfo(at, f"checkpoints/{at}", "c" * 64, float(average[at - 1]), 0.2),
            )
        if status == "running":
            return
        bad = done if status == "diverged" else None
        result = CellResult(run.key, status, 0.3, first_bad_step=bad)  # type: ignore[arg-type]
        writer.record_results(experiment, [result])
