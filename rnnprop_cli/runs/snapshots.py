"""The checkpoint folder of a meta-training: what is in it, what is kept, where to go on."""

from pathlib import Path
from typing import Any, Final

from rnnprop_cli.errors import CheckpointError
from rnnprop_cli.execute.train import Snapshot
from rnnprop_cli.plan.identity import content_hash
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
from rnnprop_cli.store.database import storage_errors

ROLLING_KEPT: Final = 2
KEY_IN_NAME: Final = 16  # characters of a run's key in the name of its checkpoint folder
OWNER_IN_NAME: Final = 8
_PREFIX: Final = "meta"  # a checkpoint is called meta-000001000


def checkpoint_folder(database: Path, experiment: ExperimentInfo, key: str) -> Path:
    """Where the checkpoints of a meta-training lie. Other databases in the same folder, and one that was deleted and
    made anew, have experiments of the same id and recipe: their checkpoints must never be taken for ours.

    Raises:
        CheckpointError: the folder would lie elsewhere than beside the database.
    """
    path = database.expanduser().resolve()
    owner = content_hash([path.name, experiment.id, experiment.created_utc])
    return inside(path.parent, f"checkpoints/{key[:KEY_IN_NAME]}-{owner[:OWNER_IN_NAME]}")


def save_snapshot(folder: Path, spec: TrainSpec, snapshot: Snapshot) -> SavedCheckpoint:
    """Writes a checkpoint; nothing else changes.

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
    return save_checkpoint(folder, f"{_PREFIX}-{snapshot.meta_iteration:09d}", snapshot.tensors, metadata)


def is_kept(spec: TrainSpec, meta_iteration: int) -> bool:
    """Whether the checkpoint of this meta-iteration is kept for good."""
    return meta_iteration % spec.checkpoint.every == 0 or meta_iteration == spec.meta_iterations


def remove_rolled(folder: Path, spec: TrainSpec) -> None:
    """Removes checkpoints that are not kept for good, but for the newest."""
    rolling = [path for path in checkpoint_files(folder) if not is_kept(spec, _step_of(path))]
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


def latest_snapshot(folder: Path) -> Snapshot | None:
    """The newest checkpoint of a folder, None if there is none.

    Raises:
        CheckpointError: it is damaged; names the newest one before it that is sound.
    """
    files = checkpoint_files(folder)
    if not files:
        return None
    try:
        return load_snapshot(files[-1])
    except CheckpointError as error:
        bad, good = [files[-1]], None
        for path in reversed(files[:-1]):
            try:
                load_snapshot(path)
            except CheckpointError:
                bad.append(path)
            else:
                good = path
                break
        names = ", ".join(path.name for path in bad)
        last = "there is no sound one before it" if good is None else f"the last sound one is {good.name}"
        raise CheckpointError(f"{error}\nTo go on without it, delete {names}; {last}.") from error


def load_snapshot(path: Path, sha256: str | None = None) -> Snapshot:
    """One checkpoint.

    Args:
        path: its tensor file.
        sha256: what that must hash to, where the database has it.

    Raises:
        CheckpointError: it is absent, damaged, or not the checkpoint of a meta-training.
    """
    tensors, metadata = load_checkpoint(path, sha256)
    try:
        average = metadata["moving_average"]
        return Snapshot(
            int(metadata["meta_iteration"]),
            tensors,
            average if average is not None else float("nan"),
            metadata["validation_loss"],
        )
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{path}: is not the checkpoint of a meta-training.") from None


def _step_of(path: Path) -> int:
    digits = path.name.removesuffix(SUFFIX).removeprefix(f"{_PREFIX}-")
    return int(digits) if digits.isdecimal() else 0
