"""Runs of a benchmark, made from losses, for the tests of its tables."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnnprop_cli.records import CellResult, ExperimentFacts, ExperimentInfo, RunFacts, RunInfo
from rnnprop_cli.view.table.targets import LoadCurves

EXPERIMENT = ExperimentInfo(
    1, ExperimentFacts("bench", "demo", "", "{}", "0" * 64, None, "{}", "[]", "h"), "2026-01-01T00:00:00Z"
)


def with_spec(resolved: object, **changes: object) -> ExperimentInfo:
    """The experiment with what its spec_json holds, as the reader gives it."""
    return replace(EXPERIMENT, resolved=resolved, **changes)  # type: ignore[arg-type]


def runs_of(optimizer: str, losses: Sequence[object], **facts: object) -> list[RunInfo]:
    """One run per seed. A number is a final loss, NaN a diverged run, a word the status of one without result."""
    plain: dict[str, object] = {
        "phase": "final",
        "is_baseline": True,
        "optimizee": "mlp",
        "dataset": "mnist",
        "depth": 1,
        "activation": "sigmoid",
        "horizon": 100,
        "lr": 0.03125,
    } | facts
    source = "tuned" if plain["phase"] == "final" else "default"
    plain.setdefault("lr_source", source if plain["is_baseline"] else "own")
    runs = []
    for seed, loss in enumerate(losses):
        if isinstance(loss, str):
            result = CellResult("", loss)  # type: ignore[arg-type]
        elif math.isnan(loss):  # type: ignore[arg-type]
            result = CellResult("", "diverged", math.nan, first_bad_step=3, elapsed_s=1.0)
        else:
            result = CellResult("", "done", loss, loss + 1, 0.75, elapsed_s=2.0)  # type: ignore[arg-type,operator]
        config = json.dumps({"optimizer": optimizer, "seed": seed})
        run = RunFacts(
            key=f"{optimizer}{seed}",
            optimizer=optimizer,
            seed=seed,
            config_json=config,
            device="cpu",
            dtype="float32",
            threads=1,
            **plain,  # type: ignore[arg-type]
        )
        runs.append(RunInfo(seed, 1, run, result, None, json.loads(config)))
    return runs


def small_matrix() -> tuple[list[RunInfo], LoadCurves]:
    """Two depths and activations of a learned optimizer, Adam and SGD with their searches; and their loss curves."""
    runs: list[RunInfo] = []
    for depth in (1, 2):
        for activation in ("sigmoid", "relu"):
            facts = {"depth": depth, "activation": activation, "optimizee": "mlp"}
            runs += runs_of("learned", [0.2 * depth, 0.21 * depth, 0.22 * depth], is_baseline=False, **facts)
            runs += runs_of("adam", [0.25 * depth, 0.24 * depth, 0.26 * depth], lr=0.1, **facts)
            runs += runs_of("adam $x^2$", [1.5, math.nan, 1.5], lr=0.1, **facts)
            for rate, loss in ((0.05, 0.5), (0.1, 0.3), (0.2, math.nan)):
                runs += runs_of("adam", [loss, 0.4], phase="tuning", lr=rate, lr_source="tuned", **facts)
    runs = [replace(run, id=number) for number, run in enumerate(runs)]
    ends = {run.id: run.result.final_loss or math.nan for run in runs}

    def load(run_ids: Sequence[int]) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        steps = np.arange(100)
        curves = {}
        for run in run_ids:
            if math.isnan(ends[run]):
                curves[run] = (steps[:4], np.array([2.3, 9.0, 1e9, math.inf]))
            else:
                curves[run] = (steps, 2.3 * (ends[run] / 2.3) ** (steps / 99))
        return curves

    return runs, load
