"""The checkpoint folder of a meta-training: what is in it, what is kept, where to go on."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rnnprop_cli.errors import CheckpointError, suggested
from rnnprop_cli.execute.training import Snapshot
from rnnprop_cli.records import ExperimentInfo
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.store.checkpoints import (
    SUFFIX,
    SavedCheckpoint,
    inside,
    load_checkpoint,
    save_checkpoint,
    side_path,
)
from rnnprop_cli.store.lock import folder_lock
from rnnprop_cli.store.trouble import storage_errors

ROLLING_KEPT: Final = 2
_PREFIX: Final = "meta"  # a checkpoint is called meta-000001000
_FOLDER: Final = re.compile(r"checkpoints/[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def checkpoint_folder(database: Path, experiment: ExperimentInfo) -> Path:
    """Where the checkpoints of a meta-training lie, as the database says.

    Raises:
        CheckpointError: it does not know, or the folder would lie elsewhere than beside it.
    """
    path = database.expanduser().resolve()
    name = experiment.facts.name
    if experiment.folder is None:
        raise CheckpointError(
            f"the checkpoints of '{name}' cannot be found: an earlier version named their folder after the database's "
            f"file, which was not called {path.name} then. Give the file its old name and run `rnnprop db migrate`; or "
            f"begin anew beside what is recorded: {suggested('train', '--resume', name, '--from-scratch')}"
        )
    if not _FOLDER.fullmatch(experiment.folder):
        raise CheckpointError(
            f"{path}: '{experiment.folder}' is no folder of checkpoints; the database is damaged."
        )
    return inside(path.parent, experiment.folder)


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Makes the folder of checkpoints if need be, and keeps everybody else from writing there.

    Raises:
        StoreError: it cannot be made, or another process writes there.
    """
    with storage_errors(folder):
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
    with folder_lock(folder):
        remove_unfinished(folder)
        yield


def save_snapshot(folder: Path, spec: TrainSpec, snapshot: Snapshot) -> SavedCheckpoint:
    """Writes a checkpoint into its folder, which exists; nothing else changes.

    Raises:
        StoreError: it cannot be written; nothing is left of it.
    """
    metadata: dict[str, Any] = {
        "meta_iteration": snapshot.meta_iteration,
        "moving_average": snapshot.moving_average,
        "validation_loss": snapshot.validation_loss,
        "optimizer": spec.optimizer.model_dump(mode="json"),
        "spec": spec.model_dump(mode="json"),
    }
    name = f"{_PREFIX}-{snapshot.meta_iteration:09d}"
    return save_checkpoint(folder, name, snapshot.tensors, metadata, make_folder=False)


def is_kept(spec: TrainSpec, meta_iteration: int) -> bool:
    """Whether the checkpoint of this meta-iteration is kept for good."""
    return meta_iteration % spec.checkpoint.every == 0 or meta_iteration == spec.meta_iterations


def remove_rolled(folder: Path, spec: TrainSpec) -> None:
    """Removes checkpoints that are not kept for good, but for the newest."""
    rolling = [path for path in checkpoint_files(folder) if not is_kept(spec, step_of(path))]
    with storage_errors(folder):
        for path in rolling[:-ROLLING_KEPT]:
            # The side file goes first: a tensor file alone is not a checkpoint.
            side_path(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed process was writing. Only for the holder of the writer's lock."""
    with storage_errors(folder):
        for path in folder.glob(f".{_PREFIX}-*.tmp"):
            path.unlink(missing_ok=True)
        for path in folder.glob(f"{_PREFIX}-*{SUFFIX}"):
            if not side_path(path).exists():
                path.unlink(missing_ok=True)


def checkpoint_files(folder: Path) -> list[Path]:
    """Complete checkpoints in a folder, oldest first. A tensor file without its side file was never finished."""
    return sorted(path for path in folder.glob(f"{_PREFIX}-*{SUFFIX}") if side_path(path).exists())


def latest_snapshot(folder: Path, recorded: Mapping[str, str] | None = None) -> Snapshot | None:
    """The newest checkpoint of a folder, None if there is none.

    Args:
        folder: where they are.
        recorded: SHA-256 of tensor files by their name, as far as the database has them.

    Raises:
        CheckpointError: it is damaged; names the newest one before it that is sound.
    """
    files, known = checkpoint_files(folder), recorded or {}
    if not files:
        return None
    try:
        return load_snapshot(files[-1], known.get(files[-1].name))
    except CheckpointError as error:
        good = newest_sound(files[:-1], known)
        last = "there is no sound one before it" if good is None else f"the last sound one is {good.name}"
        raise CheckpointError(f"{error}\n{last}") from error


def newest_sound(files: list[Path], recorded: Mapping[str, str]) -> Path | None:
    """The last of these checkpoints that can be loaded and is the recorded one; None if there is none."""
    for path in reversed(files):
        try:
            load_snapshot(path, recorded.get(path.name))
        except CheckpointError:
            continue
        return path
    return None


def set_aside(folder: Path, beyond: int) -> list[Path]:
    """Moves the checkpoints after meta-iteration `beyond` into a folder of their own in there, where nothing looks."""
    later = [path for path in checkpoint_files(folder) if step_of(path) > beyond]
    if later:
        place = folder / f"aside-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with storage_errors(folder):
            place.mkdir(exist_ok=True)
            for path in later:
                side_path(path).replace(place / side_path(path).name)
                path.replace(place / path.name)
    return later


def load_snapshot(path: Path, sha256: str | None = None) -> Snapshot:
    """One checkpoint.

    Args:
        path: its tensor file.
        sha256: what that must hash to, where the database has it.

    Raises:
        CheckpointError: it is absent, damaged, or not the checkpoint of a meta-training.
    """
    tensors, metadata = load_checkpoint(path, sha256)
    strange = CheckpointError(f"{path}: is not the checkpoint of a meta-training.")
    try:
        average, validation = metadata["moving_average"], metadata["validation_loss"]
        snapshot = Snapshot(
            int(metadata["meta_iteration"]),
            tensors,
            float("nan") if average is None else float(average),
            None if validation is None else float(validation),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise strange from None
    if snapshot.meta_iteration != step_of(path):
        raise strange
    # Not finite is what a diverging meta-training comes to, and part of its state; another type is not.
    if bad := [name for name, value in tensors.items() if value.dtype.kind != "f"]:
        raise CheckpointError(f"{path}: {', '.join(bad)} holds no floating-point numbers.")
    return snapshot


def step_of(path: Path) -> int:
    """The meta-iteration in a checkpoint's name."""
    digits = path.name.removesuffix(SUFFIX).removeprefix(f"{_PREFIX}-")
    return int(digits) if digits.isdecimal() else 0
