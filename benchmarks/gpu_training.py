"""A meta-training for as long as there is time, for `gpu_suite.py`."""

import csv
import time
from pathlib import Path
from typing import Any

from measuring import conditions

from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.train import MetaTraining
from rnnprop_cli.spec.train import CheckpointSpec, TrainSpec, ValidationSpec
from rnnprop_cli.store.checkpoints import save_checkpoint

NAME = "rnnprop_gpu"
COLUMNS = ("meta_iteration", "train_loss", "moving_average", "validation_loss")


def train_until(deadline: float, spec: TrainSpec, engine: Engine, out: Path) -> dict[str, Any]:
    """Meta-trains until then, by the clock of `time.monotonic`; weights and curve.csv are written to `out`."""
    often = {"validation": ValidationSpec(every=500), "checkpoint": CheckpointSpec(every=15_000, rolling=100)}
    spec = spec.model_copy(update={"name": NAME, **often})
    training = MetaTraining(spec, engine)
    started = time.monotonic()
    rows = []
    for event in training.run():
        rows.append([getattr(event.result, column) for column in COLUMNS])
        if time.monotonic() > deadline:
            break
    elapsed_s = time.monotonic() - started
    validation_loss, _ = training.validate()
    snapshot = training.snapshot(validation_loss)
    names = [name for name in snapshot.tensors if not name.startswith(("adam.", "average"))]
    recipe = {"recipe": spec.model_dump(mode="json"), "meta_iterations": snapshot.meta_iteration}
    save_checkpoint(
        out,
        NAME,
        {name: snapshot.tensors[name] for name in names},
        {
            "optimizer": spec.optimizer.model_dump(mode="json"),
            "made": recipe | conditions(engine.torch_device),
        },
    )
    with (out / "curve.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return {
        "meta_iterations": snapshot.meta_iteration,
        "elapsed_s": elapsed_s,
        "ms_a_meta_iteration": 1e3 * elapsed_s / len(rows),
        "moving_average": snapshot.moving_average,
        "validation_loss": validation_loss,
        "notice": next((n for e in training.estimators if (n := getattr(e, "notice", None))), None),
    }
