"""A finished meta-training that is asked for more meta-iterations: nothing is computed twice.

Everything random in a meta-training depends on the seed and on the number of the meta-iteration, never on how many
there will be. So a training of 15,000 meta-iterations that takes over the first 5,000 of a shorter one has the bits of
one that ran through.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from rnnprop_cli.errors import UsageError, suggested
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.plan.identity import canonical_json, content_hash
from rnnprop_cli.records import (
    MOVING_AVERAGE,
    RATE,
    TRAIN_LOSS,
    VALIDATION_LOSS,
    CurveBlock,
    ExperimentInfo,
    RunInfo,
)
from rnnprop_cli.runs.environment import experiment_facts
from rnnprop_cli.runs.resume import INEXACT, LENGTHENED, environment_changes, only_run, recorded_spec
from rnnprop_cli.runs.snapshots import checkpoint_folder, held_folder, is_kept, load_snapshot, save_snapshot
from rnnprop_cli.runs.train import recipe_of
from rnnprop_cli.runs.train_identity import check_learned, run_config, start_of, train_environment
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.store.checkpoints import inside
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer


def lengthen(
    database: Path,
    experiment_id: int,
    longer: TrainSpec,
    engine: Engine,
    *,
    allow_inexact: bool = False,
    ranks: bool = False,
) -> None:
    """Makes the longer meta-training, with the curves and checkpoints of the finished shorter one.

    It stands in the store as interrupted, and `run_train` goes on with it as with any other. The shorter one stays as
    it is, and so does the longer one if it is there already.

    Args:
        database: where the shorter one is recorded.
        experiment_id: the shorter one.
        longer: the same recipe with more meta-iterations.
        engine: where it will go on.
        allow_inexact: even if its bits will be others there.
        ranks: whether ranks will share its tasks.

    Raises:
        UsageError: other settings differ, there are fewer meta-iterations, the shorter one is not finished, or it
            cannot go on here with the same bits. Nothing was written then.
        DataError: the dataset is absent.
        CheckpointError: a checkpoint of it is damaged.
        StoreError: the database cannot be used, or another process writes to it.
    """
    with Reader.open(database) as reader:
        shorter = recipe_of(reader.experiment(experiment_id))
    _check_recipes(shorter, longer)
    if longer == shorter:
        return
    check_learned(longer)
    here = experiment_facts(
        "train",
        shorter.name,
        shorter,
        "",
        train_environment(shorter, engine, start_of(shorter, database), ranks=ranks),
    )
    with Writer.open(database) as writer, Reader.open(database) as reader:
        experiment = reader.experiment(experiment_id)
        run = only_run(reader, experiment)
        if run.result.status != "done":
            raise UsageError(
                f"'{shorter.name}' is not finished ({run.result.status}): "
                f"first `{suggested('train', '--resume', shorter.name)}`"
            )
        if here.spec_sha256 != experiment.facts.spec_sha256:
            environment_changes(experiment, here, allow_inexact)
        _, environment = recorded_spec(experiment)
        facts = experiment_facts("train", longer.name, longer, experiment.facts.spec_toml, environment)
        known = [each for each in reader.experiments("train") if each.facts.spec_sha256 == facts.spec_sha256]
        if any(only_run(reader, each).result.status != "queued" for each in known):
            return
        config = run_config(longer, environment)
        key = content_hash(config)
        # Queued until everything is taken over: a process that is killed on the way leaves one that is begun again.
        queued = replace(run.facts, key=key, config_json=canonical_json(config))
        longer_id = writer.begin_experiment(facts, [queued])
        _take_over(writer, reader, experiment, run, reader.experiment(longer_id), key, longer, database)
        writer.mark(longer_id, [key], "interrupted")


def _check_recipes(shorter: TrainSpec, longer: TrainSpec) -> None:
    if longer.model_copy(update={"meta_iterations": shorter.meta_iterations}) != shorter:
        raise UsageError(
            "--resume goes on with the recipe as it was: of its settings only meta_iterations can be changed. "
            "Start another recipe with --spec FILE."
        )
    if longer.meta_iterations < shorter.meta_iterations:
        raise UsageError(
            f"meta_iterations={longer.meta_iterations}: '{shorter.name}' was asked for {shorter.meta_iterations} "
            "already, and a meta-training can only be made longer. "
            f'A benchmark takes an earlier checkpoint as weights = "{shorter.name}@N".'
        )


def _take_over(
    writer: Writer,
    reader: Reader,
    shorter: ExperimentInfo,
    run: RunInfo,
    longer: ExperimentInfo,
    key: str,
    spec: TrainSpec,
    database: Path,
) -> None:
    """Marks, curves and checkpoints of the shorter meta-training, each as the longer one would have made it."""
    start = {name: getattr(shorter.facts, name) for name in ("git_sha", "versions", "argv", "host")}
    marks = [(event.kind, event.text) for event in reader.events(shorter.id) if event.kind == INEXACT]
    marks.append((LENGTHENED, json.dumps({"created_utc": shorter.created_utc, **start})))
    known = {
        (event.kind, event.text) for event in reader.events(longer.id)
    }  # by a process that was killed here
    for kind, text in marks:
        if (kind, text) not in known:
            writer.log_event(longer.id, kind, text)
    for metric in (TRAIN_LOSS, MOVING_AVERAGE, RATE):
        steps, values = reader.curve(run.id, metric)
        if len(steps):
            writer.append_curves(
                longer.id, [CurveBlock(key, metric, int(steps[0]), values.astype(np.float32))]
            )
    for metric in reader.metrics(run.id):
        if not metric.startswith(VALIDATION_LOSS):
            continue
        steps, values = reader.curve(run.id, metric)
        validations = [
            CurveBlock(key, metric, int(step), values[index : index + 1].astype(np.float32))
            for index, step in enumerate(steps)
            if step % spec.validation.every == 0
            or is_kept(spec, int(step))  # not the extra one at the shorter's end
        ]
        writer.append_curves(longer.id, validations)
    root = database.expanduser().resolve().parent
    folder = checkpoint_folder(database, longer)
    with held_folder(folder):
        for info in reader.checkpoints(run.id):
            snapshot = load_snapshot(inside(root, info.path), info.sha256)
            saved = save_snapshot(folder, spec, snapshot)
            if is_kept(spec, info.meta_step):
                kept = replace(info, path=saved.path.relative_to(root).as_posix(), sha256=saved.sha256)
                writer.add_checkpoint(longer.id, key, kept)
