"""Runs of a benchmark, made from losses, for the tests of its tables."""

import json
import math
from collections.abc import Sequence

from rnnprop_cli.records import CellResult, ExperimentFacts, ExperimentInfo, RunFacts, RunInfo

EXPERIMENT = ExperimentInfo(
    1, ExperimentFacts("bench", "demo", "", "{}", "0" * 64, None, "{}", "[]", "h"), "2026-01-01T00:00:00Z"
)


def runs_of(optimizer: str, losses: Sequence[object], **facts: object) -> list[RunInfo]:
    """One run per seed. A number is a final loss, NaN a diverged run, a word the status of one without result."""
    plain: dict[str, object] = {
        "phase": "final",
        "is_baseline": True,
        "optimizee": "mlp sigmoid",
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
        runs.append(RunInfo(seed, 1, run, result, None))
    return runs
