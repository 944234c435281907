"""A database with a small benchmark in it, for the commands that look at results."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.records import CellResult, CurveBlock, ExperimentFacts, RunFacts
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.store.writer import Writer

EVIL = "evil\x1b]52;c;aGk=\x07"
SPEC = BenchSpec.model_validate_json(
    json.dumps(
        {
            "name": "demo",
            "calibrated": False,
            "optimizees": [{"kind": "mlp", "dataset": "digits"}],
            "optimizers": [
                {"kind": "learned", "weights": "rnnprop", "label": "learned"},
                {"kind": "adam"},
                {"kind": "momentum", "label": EVIL},
                {"kind": "sgd"},
            ],
        }
    )
)
FACTS = ExperimentFacts(
    kind="bench",
    name="demo",
    spec_toml="",
    spec_json=json.dumps({"spec": SPEC.model_dump(mode="json"), "environment": {}}),
    spec_sha256="5" * 64,
    git_sha="0123abcd",
    versions='{"python": "3.11"}',
    argv="[]",
    host="h",
)


def run_facts(number: int, optimizer: str, seed: int, *, is_baseline: bool = True) -> RunFacts:
    config = json.dumps({"optimizer": optimizer, "seed": seed})
    return RunFacts(
        key=f"{number:04x}" + "c" * 60,
        phase="final",
        optimizer=optimizer,
        is_baseline=is_baseline,
        optimizee="mlp",
        dataset="digits",
        depth=1,
        activation="sigmoid",
        horizon=100,
        lr=0.03125,
        lr_source="tuned" if is_baseline else "own",
        seed=seed,
        config_json=config,
        device="cpu",
        dtype="float32",
        threads=1,
    )


def store_bench(path: Path, *, partial: bool = False) -> None:
    """Three seeds of learned (better), adam, EVIL (diverges) and sgd (fails); if partial, sgd and a seed wait."""
    assert len(lanes(SPEC)) == 4
    with Writer.open(path) as writer:
        experiment_id = writer.begin_experiment(FACTS)
        number = 0
        for optimizer, loss in (("learned", 0.27), ("adam", 0.30), (EVIL, math.nan), ("sgd", None)):
            if partial and optimizer == "sgd":
                break
            runs, results, curves = [], [], []
            for seed in range(3):
                number += 1
                facts = run_facts(number, optimizer, seed, is_baseline=optimizer != "learned")
                runs.append(facts)
                if loss is None:
                    results.append(
                        CellResult(facts.key, "failed", error=f"RuntimeError: no \x1b[31mroom {EVIL}")
                    )
                elif math.isnan(loss):
                    results.append(CellResult(facts.key, "diverged", math.nan, first_bad_step=3))
                else:
                    results.append(CellResult(facts.key, "done", loss + 0.01 * seed, 0.4, 0.9, elapsed_s=1))
                values = np.exp(-np.arange(100, dtype=np.float32) / 30)
                curves.append(CurveBlock(facts.key, "loss", 0, values))
            writer.add_runs(experiment_id, runs)
            writer.record_results(experiment_id, results, curves if loss is not None else [])
        if partial:
            writer.add_runs(experiment_id, [replace(run_facts(99, "adam", 3))])


def has_no_control_characters(text: str) -> bool:
    return all(character == "\n" or character.isprintable() for character in text)
