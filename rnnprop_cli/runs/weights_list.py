"""Every set of weights that there is, shipped and meta-trained, with what one needs to choose; loads no PyTorch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnprop_cli.errors import RnnpropError
from rnnprop_cli.records import TRAIN_LOSS, ExperimentInfo
from rnnprop_cli.runs.resume import only_run, recorded_spec
from rnnprop_cli.runs.shipped_weights import shipped_folder, shipped_names
from rnnprop_cli.spec.horizons import described
from rnnprop_cli.spec.stored import upgraded_train
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.store.checkpoints import SUFFIX, load_checkpoint
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.view.curves.curve import Curve
from rnnprop_cli.view.facts.training import chosen_checkpoint, selection_rule


@dataclass(frozen=True)
class ListedWeights:
    """One set of weights; None where that is not known."""

    name: str
    origin: str  # "shipped", or "here" for a meta-training in the database
    kind: str | None = None  # of the learned optimizer
    task: str | None = None  # of the meta-training
    meta_iterations: int | None = None  # of the checkpoint that the name stands for
    alpha: float | None = None
    validation_loss: float | None = None
    state: str = "done"  # of the meta-training; with how far it is where it is not done


def list_weights(database: Path) -> list[ListedWeights]:
    """The shipped ones by name, then the meta-trainings of a database, the last used first.

    Raises:
        StoreError: the database is there and cannot be read.
        CheckpointError: weights of the package are damaged.
    """
    found = [_shipped(name) for name in shipped_names()]
    if not database.exists():
        return found
    with Reader.open(database) as reader:
        newest: dict[str, ExperimentInfo] = {}
        for each in reversed(reader.experiments("train")):
            newest.setdefault(each.facts.name, each)
        return found + [_trained(reader, each) for each in newest.values()]


def _shipped(name: str) -> ListedWeights:
    _, metadata = load_checkpoint(shipped_folder() / f"{name}{SUFFIX}")
    made = metadata.get("made", {})
    spec = made.get("spec")
    return ListedWeights(
        name,
        "shipped",
        metadata["optimizer"]["kind"],
        None if spec is None else _task(_recipe(spec)),
        made.get("meta_iteration"),
        metadata["optimizer"].get("alpha"),
        made.get("validation_loss"),
    )


def _trained(reader: Reader, experiment: ExperimentInfo) -> ListedWeights:
    name = experiment.facts.name
    try:
        run = only_run(reader, experiment)
        spec = _recipe(recorded_spec(experiment)[0])
    except (RnnpropError, ValueError) as error:
        return ListedWeights(name, "here", state=f"damaged: {str(error).splitlines()[0]}")
    steps, losses = reader.curve(run.id, TRAIN_LOSS)
    chosen = chosen_checkpoint(
        reader.checkpoints(run.id), selection_rule(experiment), Curve(steps.astype(np.float64), losses)
    )
    done = int(steps[-1]) if len(steps) else 0
    status = run.result.status
    return ListedWeights(
        name,
        "here",
        spec.optimizer.kind,
        _task(spec),
        None if chosen is None else chosen.meta_step,
        spec.optimizer.alpha,
        None if chosen is None else chosen.validation_loss,
        "done" if status == "done" else f"{status} at {done:,} of {spec.meta_iterations:,}",
    )


def _recipe(spec: Mapping[str, Any]) -> TrainSpec:
    return TrainSpec.model_validate_json(json.dumps(upgraded_train(spec)))


def _task(spec: TrainSpec) -> str:
    """As lanes are called in a benchmark, e.g. "mnist mlp sigmoid d1 x100"; of several, how many."""
    first, *others = spec.tasks
    if others:
        return f"{len(spec.tasks)} tasks x{described(spec.truncation.horizon)}"
    depth = first.optimizee.n_layers
    parts = [
        first.optimizee.dataset_label or "",
        first.optimizee.network,
        "" if depth is None else f"d{depth}",
    ]
    return " ".join([*filter(None, parts), f"x{described(first.horizon)}"])
