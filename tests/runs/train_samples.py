"""A tiny meta-training and what identifies its bits."""

import hashlib
from pathlib import Path
from typing import Any

from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.records import MOVING_AVERAGE, TRAIN_LOSS, VALIDATION_LOSS
from rnnprop_cli.runs.snapshots import latest_snapshot
from rnnprop_cli.runs.train import TrainOutcome, run_train
from rnnprop_cli.spec.train import CheckpointSpec, ConvexSpec, TrainSpec, TruncationSpec, ValidationSpec
from rnnprop_cli.store.reader import Reader

ENGINE = Engine("cpu", 1, None, "reference")
SPEC = TrainSpec(
    name="tiny",
    meta_iterations=12,
    optimizer=RNNpropSpec(embedding=4, hidden=4),
    optimizee=MLPSpec(dataset="digits", hidden=3),
    minibatch=8,
    meta_batch=2,
    random_scaling=3.0,
    convex=ConvexSpec(dimension=4),
    truncation=TruncationSpec(horizon=8, unroll=4),
    validation=ValidationSpec(every=4, seeds=2),
    checkpoint=CheckpointSpec(every=6, rolling=2),
)


def run(
    path: Path, spec: TrainSpec = SPEC, observe: Any = lambda event: None, **options: Any
) -> TrainOutcome:
    return run_train(spec, "", path, ENGINE, observe, **options)


def fingerprint(path: Path) -> str:
    """SHA-256 over the last checkpoint's tensors and every logged loss, as raw bytes."""
    digest = hashlib.sha256()
    folders = (path.parent / "checkpoints").iterdir()
    snapshots = [snapshot for folder in folders if (snapshot := latest_snapshot(folder)) is not None]
    snapshot = max(snapshots, key=lambda each: each.meta_iteration)
    for name in sorted(snapshot.tensors):
        digest.update(snapshot.tensors[name].tobytes())
    with Reader.open(path) as reader:
        (info,) = reader.runs(reader.find_experiment("tiny").id)
        for metric in (TRAIN_LOSS, MOVING_AVERAGE, VALIDATION_LOSS):
            steps, values = reader.curve(info.id, metric)
            digest.update(steps.tobytes() + values.tobytes())
    return digest.hexdigest()


class Stopped(BaseException):
    """Stands for a kill -9 between two statements."""
