"""Meta-trains a learned optimizer: execute → checkpoints and store, exactly resumable."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnprop_cli.errors import CheckpointError, StoreError, UsageError, suggested
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.evolve import EvolutionTraining
from rnnprop_cli.execute.team import Team
from rnnprop_cli.execute.train import MetaTraining
from rnnprop_cli.execute.training import Snapshot, Training
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.records import RATE, CellResult, CheckpointInfo, ExperimentInfo, RunInfo, Status
from rnnprop_cli.runs.environment import experiment_facts
from rnnprop_cli.runs.interrupt import stop_on_signals
from rnnprop_cli.runs.observer import Notice, Observer, TrainPlanned
from rnnprop_cli.runs.progress import Progress, disagreement, place_to_go_on, remedies, rewound
from rnnprop_cli.runs.ranks import Leader
from rnnprop_cli.runs.recording import Recorder
from rnnprop_cli.runs.resume import Found, only_run
from rnnprop_cli.runs.snapshots import checkpoint_folder, held_folder
from rnnprop_cli.runs.train_identity import check_learned, run_facts, start_of, train_environment
from rnnprop_cli.runs.weights import choose_checkpoint
from rnnprop_cli.spec.stored import upgraded_train
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.store.checkpoints import inside, load_checkpoint
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer


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
    rewind: bool = False,
    leader: Leader | None = None,
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
        rewind: with `must_exist`, where curve and checkpoints do not fit together, go on from the last checkpoint that
            both have whole.
        leader: of the ranks that share the tasks; None: this process computes them together.

    Raises:
        UsageError: `must_exist`, and no meta-training of this recipe was made in this environment; or its code is not
            allowed; or other ranks cannot compute the same.
        RankLostError: another rank has gone; there is a checkpoint then.
        CodeError: its code fails; nothing was changed if it does so in its first steps.
        DataError: the dataset is absent.
        CheckpointError: the newest checkpoint is damaged, or checkpoints and curve do not fit together; nothing was
            changed then.
        StoreError: the database cannot be used, or another process writes to it.
    """
    check_learned(spec)
    start = start_of(spec, database)
    environment = train_environment(spec, engine, start, ranks=leader is not None)
    facts = experiment_facts("train", spec.name, spec, spec_toml, environment)
    run = run_facts(spec, engine, environment)
    with (
        Writer.open(database) as writer,
        Reader.open(database) as reader,
        stop_on_signals() as stop,
        ExitStack() as held,
    ):
        found = Found.look(
            reader, facts, run, fresh=fresh, must_exist=must_exist, allow_inexact=allow_inexact
        )
        snapshot: Snapshot | None = None
        if found.experiment is not None:  # until it is known where to go on, nothing is written
            folder = checkpoint_folder(database, found.experiment)
            recorded = only_run(reader, found.experiment)
            progress = Progress.of(reader, recorded.id)
            whole = disagreement(folder, spec, progress) is None
            if recorded.result.status == "done" and (whole or not rewind):
                chosen = _chosen(reader, found.experiment.id)
                _verify(chosen, database, remedies(spec.name, folder, progress))
                found.begin(writer, reader)
                return TrainOutcome(
                    spec.name, spec.meta_iterations, chosen, already_done=True, stopped_by=None
                )
            _check_begun(recorded, spec, progress)
            held.enter_context(held_folder(folder))
            snapshot = (rewound if rewind else place_to_go_on)(folder, spec, progress)
        if leader is not None:
            leader.stop = stop
            leader.begin(spec, engine, environment)
        place = found.begin(writer, reader)
        experiment_id, key = place.experiment_id, place.run.key
        if found.experiment is None:
            folder = checkpoint_folder(database, reader.experiment(experiment_id))
            held.enter_context(held_folder(folder))
        sha256 = environment.get("dataset_sha256")
        team = None if leader is None else leader.team
        training = begin(spec, engine, snapshot, None if sha256 is None else str(sha256), start, team)
        writer.rewind(experiment_id, key, training.meta_iteration)
        writer.mark_running(experiment_id, [key])
        if training.kernel_notice:
            observe(Notice(training.kernel_notice))
        if place.inexact:
            observe(Notice(place.inexact))
        observe(TrainPlanned(spec.name, spec.meta_iterations, training.meta_iteration, training.kernel.name))
        recorder = Recorder(
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


def begin(
    spec: TrainSpec,
    engine: Engine,
    snapshot: Snapshot | None,
    dataset_sha256: str | None,
    start: Weights | None,
    team: Team | None,
) -> Training:
    """The meta-training that a recipe asks for, where it was left or from its beginning."""
    if spec.evolution is not None:
        return EvolutionTraining(spec, engine, snapshot, dataset_sha256, start)
    return MetaTraining(spec, engine, snapshot, dataset_sha256, team)


def _seconds_so_far(reader: Reader, experiment_id: int) -> float:
    """What the meta-iterations that the store has took, before an interruption."""
    (info,) = reader.runs(experiment_id)
    _, rates = reader.curve(info.id, RATE)
    return float(np.sum(1 / rates[rates > 0]))


def _check_begun(recorded: RunInfo, spec: TrainSpec, progress: Progress) -> None:
    """Raises UsageError for a meta-training that was killed while it took over a shorter one."""
    if recorded.result.status == "queued" and progress.last:
        raise UsageError(
            f"'{spec.name}' was being made out of a shorter meta-training when that was killed. Finish it with "
            f"{suggested('train', '--resume')} ID --set meta_iterations={spec.meta_iterations}, where ID is the "
            f"shorter one's: {suggested('runs', 'list')}"
        )


def _verify(chosen: CheckpointInfo | None, database: Path, remedy: str) -> None:
    """Whether the checkpoint that stands for a finished meta-training is there; raises CheckpointError if not."""
    if chosen is None:
        return
    try:
        load_checkpoint(inside(database.expanduser().resolve().parent, chosen.path), chosen.sha256)
    except CheckpointError as error:
        raise CheckpointError(f"{error}\n{remedy}") from error


def _chosen(reader: Reader, experiment_id: int) -> CheckpointInfo | None:
    return choose_checkpoint(reader, reader.experiment(experiment_id))
