"""Finds meta-params by name: a file, weights that come with the package, or a meta-training in the store."""

import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnprop_cli.errors import CheckpointError, StoreError, UsageError, suggested
from rnnprop_cli.execute.weights import Weights, weights_from
from rnnprop_cli.files.reading import parse_json, read_regular
from rnnprop_cli.files.writing import check_output, write_whole
from rnnprop_cli.naming import shell_word
from rnnprop_cli.records import (
    MOVING_AVERAGE,
    TRAIN_LOSS,
    VALIDATION_LOSS,
    CheckpointInfo,
    ExperimentInfo,
    RunInfo,
)
from rnnprop_cli.runs.resume import CONTINUED, LENGTHENED, inexact_mark, only_run, recorded_spec
from rnnprop_cli.runs.shipped_weights import shipped_folder, shipped_names
from rnnprop_cli.store.checkpoints import (
    MAX_BYTES,
    SUFFIX,
    inside,
    load_checkpoint,
    save_checkpoint,
    side_path,
)
from rnnprop_cli.store.reader import EventInfo, Reader
from rnnprop_cli.view.curves.curve import Curve
from rnnprop_cli.view.facts.training import chosen_checkpoint, selection_rule


def find_weights(name: str, database: Path | None, *, must_be_finished: bool = False) -> Weights:
    """The weights that a spec calls `name`.

    Args:
        name: a path that ends in .safetensors; else the name or id of a meta-training in the database, optionally with
            `@N` for its checkpoint after N meta-iterations; else the name of shipped weights.
        database: where to look for meta-trainings; None: nowhere.
        must_be_finished: whether a meta-training is refused that is not done, unless a checkpoint of it is named.

    Raises:
        UsageError: nothing is called so; says what there is and how to make it. Or it is not finished.
        CheckpointError: it is there, but damaged.
    """
    if name.endswith(SUFFIX):
        return _load(Path(name).expanduser())
    shipped = name in shipped_names()
    if database is not None and database.expanduser().exists():
        found = _from_store(
            name, database.expanduser(), must_have_checkpoint=not shipped, must_be_finished=must_be_finished
        )
        if found is not None:
            return found
    if shipped:
        return _load(shipped_folder() / f"{name}{SUFFIX}")
    raise UsageError(
        f"no weights '{name}': neither a {SUFFIX} file, nor shipped (there is {', '.join(shipped_names()) or 'none'}), "
        f"nor a meta-training in {database or 'a database (none was given)'}. "
        f"`{suggested('train', '--spec')} FILE --name {shell_word(name.split('@')[0])}` makes them."
    )


def choose_checkpoint(reader: Reader, experiment: ExperimentInfo) -> CheckpointInfo | None:
    """The checkpoint of a meta-training that its recipe's rule prefers; None if there is none with a finite loss."""
    run = only_run(reader, experiment)
    steps, losses = reader.curve(run.id, TRAIN_LOSS)
    curve = Curve(steps.astype(np.float64), losses)
    return chosen_checkpoint(reader.checkpoints(run.id), selection_rule(experiment), curve)


def _from_store(
    name: str, database: Path, *, must_have_checkpoint: bool, must_be_finished: bool
) -> Weights | None:
    base, _, step = name.partition("@")
    with Reader.open(database) as reader:
        try:
            experiment = reader.find_experiment(base, kind="train")
        except UsageError:
            return None
        run = only_run(reader, experiment)
        kept = reader.checkpoints(run.id)
        inexact = inexact_mark(reader, experiment.id)
        starts = [event for event in reader.events(experiment.id) if _computed(event, run)]
        curve = _curve(reader, run.id)
        done = max(reader.curve(run.id, TRAIN_LOSS)[0].tolist(), default=0)
        preferred = choose_checkpoint(reader, experiment)
    if must_be_finished and not step and run.result.status != "done":
        raise UsageError(_unfinished(base, run, done, kept))
    if step:
        chosen = next((each for each in kept if str(each.meta_step) == step), None)
        steps = ", ".join(str(each.meta_step) for each in kept) or "none"
        if chosen is None:
            raise UsageError(f"'{base}' has no checkpoint after {step} meta-iterations; it has {steps}.")
    else:
        chosen = preferred
        if chosen is None and not must_have_checkpoint:
            return None
        if chosen is None:
            raise CheckpointError(
                f"meta-training '{base}' has kept no checkpoint yet. "
                f"`{suggested('train', '--resume', base)}` goes on with it."
            )
    weights = _load(inside(database.resolve().parent, chosen.path), chosen.sha256)
    facts = experiment.facts
    origin = {
        "command": _portable(json.loads(facts.argv)),
        "commit": facts.git_sha,
        "versions": json.loads(facts.versions),
        "environment": recorded_spec(experiment)[1],
        "created_utc": experiment.created_utc,
        "checkpoint_sha256": chosen.sha256,
        "curve": curve,
    }
    if starts:
        origin["starts"] = [_start(event) for event in starts]
    if inexact is not None:
        origin["inexact"] = inexact
    return replace(weights, made=weights.made | origin)


def _unfinished(name: str, run: RunInfo, done: int, kept: Sequence[CheckpointInfo]) -> str:
    """What to tell somebody who wants the weights of a meta-training that is not done."""
    error = f" ({run.result.error})" if run.result.error else ""
    at = ", ".join(f"'{name}@{each.meta_step}'" for each in kept[-3:])
    either = f", or take one of its checkpoints so far: {at}" if at else ""
    return (
        f"meta-training '{name}' is not finished: {run.result.status} after {done} meta-iterations{error}. "
        f"`rnnprop train --resume {name}` goes on with it{either}."
    )


def _curve(reader: Reader, run_id: int) -> dict[str, list[float]]:
    """How the meta-training went, at every validation."""
    steps, validation = reader.curve(run_id, VALIDATION_LOSS)
    at, average = reader.curve(run_id, MOVING_AVERAGE)
    by_step = dict(zip(at.tolist(), average.tolist(), strict=True))
    return {
        "meta_iteration": steps.tolist(),
        MOVING_AVERAGE: [round(by_step.get(step, math.nan), 5) for step in steps.tolist()],
        VALIDATION_LOSS: [round(value, 5) for value in validation.tolist()],
    }


def _computed(event: EventInfo, run: RunInfo) -> bool:
    """Whether an event is a start after which something was computed: one that finds all done leaves only the event."""
    again = event.kind == CONTINUED and run.started_utc is not None and event.time_utc <= run.started_utc
    return again or event.kind == LENGTHENED


def _start(event: EventInfo) -> dict[str, Any]:
    """A further start of a meta-training: after an interruption, or the shorter one that it was made from."""
    try:
        facts = parse_json(event.text)
        argv, commit, began = parse_json(facts["argv"]), facts["git_sha"], facts.get("created_utc")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the log of a meta-training is damaged ('{event.kind}' at {event.time_utc})."
        ) from error
    what = {"what": event.kind, "time_utc": began or event.time_utc}
    return what | {"command": _portable(argv), "commit": commit}


def _portable(argv: list[Any]) -> list[str]:
    """A command without the options that only say where things lie on one machine."""
    argv = [str(word) for word in argv]
    places = ("--db", "--data-dir")
    kept = [
        word
        for before, word in zip(["", *argv], argv, strict=False)
        if before not in places and not word.startswith(places)
    ]
    return ["rnnprop", *kept]


def _load(path: Path, sha256: str | None = None) -> Weights:
    tensors, metadata = load_checkpoint(path, sha256)
    digest = sha256 or hashlib.sha256(read_regular(path, MAX_BYTES)).hexdigest()
    return weights_from(tensors, metadata, digest, str(path))


class Exported(NamedTuple):
    """A file of weights."""

    path: Path
    unfinished: str | None  # how far the meta-training is that they were taken of before its end


def export_weights(name: str, database: Path, target: Path) -> Exported:
    """Writes weights with all that is known of their making, as `find_weights` reads them back.

    Args:
        name: as `find_weights` takes it.
        database: where to look for meta-trainings.
        target: a `.safetensors` file, its `.json` goes beside it; or `.npz` for numpy alone.

    Raises:
        UsageError: the target has another suffix.
        StoreError: it or the `.json` beside it exists, or it cannot be written.
    """
    if target.suffix not in (SUFFIX, ".npz"):
        raise UsageError(f"{target}: end it in {SUFFIX} or .npz")
    for path in (target, side_path(target)):
        check_output(path, database=database)
    weights, state = find_weights(name, database), _unfinished_state(name, database)
    if target.suffix == ".npz":
        packed = io.BytesIO()
        arrays: dict[str, Any] = dict(weights.tensors)
        np.savez(packed, **arrays)
        write_whole(target, packed.getvalue(), database=database)
        return Exported(target, state)
    made = weights.made if state is None else weights.made | {"unfinished": state}
    metadata = {"optimizer": weights.architecture.model_dump(mode="json"), "made": made}
    path = save_checkpoint(target.parent, target.name.removesuffix(SUFFIX), weights.tensors, metadata).path
    return Exported(path, state)


def _unfinished_state(name: str, database: Path) -> str | None:
    """How far a meta-training is that weights are taken of before its end; None for all other weights."""
    if name.endswith(SUFFIX) or "@" in name or not database.exists():
        return None
    with Reader.open(database) as reader:
        try:
            run = reader.runs(reader.find_experiment(name, kind="train").id)[0]
        except UsageError:
            return None
        done = max(reader.curve(run.id, TRAIN_LOSS)[0].tolist(), default=0)
    return None if run.result.status == "done" else f"{run.result.status} after {done:,} meta-iterations"
