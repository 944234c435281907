"""Meta-trains a learned optimizer: execute → checkpoints and store, exactly resumable."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from rnnprop_cli.data.datasets import load_dataset
from rnnprop_cli.data.minibatches import check_epochs
from rnnprop_cli.errors import StoreError, UsageError
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.train import MetaTraining, Snapshot
from rnnprop_cli.plan.identity import canonical_json, content_hash
from rnnprop_cli.records import (
    MOVING_AVERAGE,
    RATE,
    TRAIN_LOSS,
    VALIDATION_LOSS,
    CellResult,
    CheckpointInfo,
    CurveBlock,
    ExperimentInfo,
    MetaStepResult,
    RunFacts,
    Status,
)
from rnnprop_cli.runs.environment import experiment_facts, identity_facts
from rnnprop_cli.runs.interrupt import StopRequest, stop_on_signals
from rnnprop_cli.runs.observer import CheckpointKept, MetaStepDone, Notice, Observer, TrainPlanned
from rnnprop_cli.runs.resume import Resumption
from rnnprop_cli.runs.snapshots import (
    checkpoint_folder,
    is_kept,
    latest_snapshot,
    remove_rolled,
    remove_unfinished,
    save_snapshot,
)
from rnnprop_cli.runs.weights import choose_checkpoint
from rnnprop_cli.spec.optimizees import activation_of, dataset_of, depth_of
from rnnprop_cli.spec.stored import upgraded_train
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer

SECONDS_PER_FLUSH: Final = 1.0  # how long measurements wait before the store has them


@dataclass(frozen=True)
class TrainOutcome:
    """What came of a run of the command."""

    name: str
    meta_iterations: int
    chosen: CheckpointInfo | None
    already_done: bool
    stopped_by: int | None  # exit code of the signal that stopped it


class Resumable(NamedTuple):
    """An earlier meta-training."""

    experiment_id: int
    spec: TrainSpec
    toml: str


def find_resumable(database: Path, name: str) -> Resumable:
    """An earlier meta-training, with its recipe and that recipe's file.

    Args:
        database: where it is recorded.
        name: its name or id, or "latest".

    Raises:
        UsageError: there is no such meta-training.
        StoreError: what is recorded of it is damaged.
    """
    with Reader.open(database) as reader:
        experiment: ExperimentInfo
        if name == "latest":
            every = reader.experiments(kind="train")
            if not every:
                raise UsageError(
                    f"--resume latest: no meta-training in {database} yet. Start one with --spec FILE."
                )
            experiment = every[-1]
        else:
            experiment = reader.find_experiment(name, kind="train")
    return Resumable(experiment.id, recipe_of(experiment), experiment.facts.spec_toml)


def recipe_of(experiment: ExperimentInfo) -> TrainSpec:
    """The recipe of a meta-training in the store.

    Raises:
        StoreError: it is damaged.
    """
    try:
        return TrainSpec.model_validate_json(
            json.dumps(upgraded_train(json.loads(experiment.facts.spec_json)["spec"]))
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the recipe of meta-training '{experiment.facts.name}' (id {experiment.id}) is damaged or of another "
            "version. Start anew with --spec FILE --fresh."
        ) from error


def train_environment(spec: TrainSpec, engine: Engine) -> dict[str, str | int]:
    """What the bits of a meta-training depend on besides its recipe.

    Raises:
        DataError: the dataset is absent.
        UsageError: it is smaller than a minibatch.
    """
    environment = identity_facts(engine, spec.dtype)
    name = dataset_of(spec.optimizee)
    if name is not None:
        dataset = load_dataset(name, engine.data_dir)
        check_epochs(dataset, spec.minibatch, spec.sampling)
        environment["dataset_sha256"] = dataset.sha256
    return environment


def run_train(
    spec: TrainSpec,
    spec_toml: str,
    database: Path,
    engine: Engine,
    observe: Observer,
    *,
    fresh: bool = False,
    must_exist: bool = False,
    allow_inexact: bool = False,
) -> TrainOutcome:
    """Meta-trains, or goes on with a meta-training of the same recipe that was interrupted.

    Args:
        spec: the recipe.
        spec_toml: the file it came from.
        database: records go here, checkpoints into `checkpoints/` beside it.
        engine: where to run.
        observe: told what happens.
        fresh: start anew even if the store has this meta-training.
        must_exist: refuse to start one (for --resume).
        allow_inexact: with `must_exist`, go on under another environment too, and mark the run.

    Raises:
        UsageError: `must_exist`, and no meta-training of this recipe was made in this environment.
        DataError: the dataset is absent.
        CheckpointError: the newest checkpoint is damaged.
        StoreError: the database cannot be used, or another process writes to it.
    """
    environment = train_environment(spec, engine)
    facts = experiment_facts("train", spec.name, spec, spec_toml, environment)
    run = _run_facts(spec, engine, environment)
    with Writer.open(database) as writer, Reader.open(database) as reader, stop_on_signals() as stop:
        place = Resumption.begin(
            writer, reader, facts, run, fresh=fresh, must_exist=must_exist, allow_inexact=allow_inexact
        )
        experiment_id, key = place.experiment_id, place.run.key
        folder = checkpoint_folder(database, reader.experiment(experiment_id), key)
        if reader.keys_with_status(experiment_id)[key] == "done":
            chosen = _chosen(reader, experiment_id)
            return TrainOutcome(spec.name, spec.meta_iterations, chosen, already_done=True, stopped_by=None)
        remove_unfinished(folder)
        snapshot = latest_snapshot(folder)
        training = MetaTraining(spec, engine, snapshot)
        writer.truncate_curves(experiment_id, key, training.meta_iteration + 1)
        writer.mark_running(experiment_id, [key])
        if training.kernel_notice:
            observe(Notice(training.kernel_notice))
        if place.inexact:
            observe(Notice(place.inexact))
        observe(TrainPlanned(spec.name, spec.meta_iterations, training.meta_iteration, training.kernel.name))
        recorder = _Recorder(
            spec, writer, place, folder, database, observe, _seconds_so_far(reader, experiment_id)
        )
        recorder.run(training, stop)
        chosen = _chosen(reader, experiment_id)
        if not stop:
            status: Status = "done" if recorder.first_bad is None else "diverged"
            final = None if chosen is None else chosen.validation_loss
            result = CellResult(
                key,
                status,
                final,
                first_bad_step=recorder.first_bad,
                elapsed_s=recorder.elapsed_s,
                error=place.inexact,
            )
            writer.record_results(experiment_id, [result])
    return TrainOutcome(
        spec.name,
        training.meta_iteration,
        chosen,
        already_done=False,
        stopped_by=stop.exit_code if stop else None,
    )


def _seconds_so_far(reader: Reader, experiment_id: int) -> float:
    """What the meta-iterations that the store has took, before an interruption."""
    (info,) = reader.runs(experiment_id)
    _, rates = reader.curve(info.id, RATE)
    return float(np.sum(1 / rates[rates > 0]))


def _chosen(reader: Reader, experiment_id: int) -> CheckpointInfo | None:
    return choose_checkpoint(reader, reader.experiment(experiment_id))


@dataclass
class _Recorder:
    """Hands what a meta-training yields to the store and to the checkpoint folder."""

    spec: TrainSpec
    writer: Writer
    place: Resumption
    folder: Path
    database: Path
    observe: Observer
    elapsed_s: float = 0.0
    first_bad: int | None = None
    _pending: list[MetaStepResult] = field(default_factory=list)

    def run(self, training: MetaTraining, stop: StopRequest) -> None:
        """Runs to the end, or to the meta-iteration in which somebody asked to stop."""
        last_flush = time.monotonic()
        try:
            for event in training.run():
                self.elapsed_s += event.result.elapsed_s
                self._pending.append(event.result)
                self.observe(MetaStepDone(event.result))
                if event.notice is not None:
                    self.observe(Notice(event.notice))
                if not np.isfinite(event.result.train_loss):
                    self.first_bad = event.result.meta_iteration
                    break
                if event.snapshot is not None:
                    self._save(event.snapshot)
                if time.monotonic() - last_flush > SECONDS_PER_FLUSH:
                    self._flush()
                    last_flush = time.monotonic()
                if stop:
                    break
            self._flush()
            if stop:
                self._save(training.snapshot())
                self._mark_interrupted()
        except KeyboardInterrupt:
            self._mark_interrupted()
            raise

    def _mark_interrupted(self) -> None:
        self.writer.mark(self.place.experiment_id, [self.place.run.key], "interrupted", self.place.inexact)

    def _flush(self) -> None:
        """Measurements to the store; step t of a curve is the t-th meta-iteration."""
        if not self._pending:
            return
        first = self._pending[0].meta_iteration
        columns = {
            TRAIN_LOSS: [result.train_loss for result in self._pending],
            MOVING_AVERAGE: [result.moving_average for result in self._pending],
            RATE: [1 / max(result.elapsed_s, 1e-9) for result in self._pending],
        }
        blocks = [
            CurveBlock(self.place.run.key, metric, first, np.array(values, dtype=np.float32))
            for metric, values in columns.items()
        ]
        blocks += [
            CurveBlock(
                self.place.run.key,
                VALIDATION_LOSS,
                result.meta_iteration,
                np.array([result.validation_loss], dtype=np.float32),
            )
            for result in self._pending
            if result.validation_loss is not None
        ]
        self.writer.append_curves(self.place.experiment_id, blocks)
        self._pending.clear()

    def _save(self, snapshot: Snapshot) -> None:
        self._flush()  # the store never lags behind a checkpoint
        n = snapshot.meta_iteration
        saved = save_snapshot(self.folder, self.spec, snapshot)
        if is_kept(self.spec, n):
            path = saved.path.relative_to(self.database.expanduser().resolve().parent)
            info = CheckpointInfo(
                n, path.as_posix(), saved.sha256, snapshot.moving_average, snapshot.validation_loss
            )
            self.writer.add_checkpoint(self.place.experiment_id, self.place.run.key, info)
            self.observe(CheckpointKept(info))
        remove_rolled(self.folder, self.spec)


def _run_facts(spec: TrainSpec, engine: Engine, environment: dict[str, str | int]) -> RunFacts:
    config = {"spec": spec.model_dump(mode="json"), "environment": environment}
    return RunFacts(
        key=content_hash(config),
        phase="train",
        optimizer=spec.optimizer.kind,
        is_baseline=False,
        optimizee=spec.optimizee.label,
        dataset=dataset_of(spec.optimizee),
        depth=depth_of(spec.optimizee),
        activation=activation_of(spec.optimizee),
        horizon=spec.truncation.horizon,
        lr=spec.optimizer.alpha,
        lr_source="own",
        seed=spec.seed,
        config_json=canonical_json(config),
        device=engine.device,
        dtype=spec.dtype,
        threads=engine.threads,
    )
