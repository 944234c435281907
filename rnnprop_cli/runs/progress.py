"""How far a meta-training is, by its recorded curve and by its checkpoints, and whether the two agree.

A checkpoint is written after the curve up to it is on disk, and at least every `checkpoint.rolling` meta-iterations. So
whatever kills a meta-training, its newest checkpoint is never ahead of the curve, and behind it by that much at most.
All else means that one of the two was lost, replaced or put back: then nothing is touched.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnprop_cli.errors import CheckpointError, suggested
from rnnprop_cli.execute.training import Snapshot
from rnnprop_cli.records import TRAIN_LOSS, CheckpointInfo
from rnnprop_cli.runs.snapshots import (
    checkpoint_files,
    latest_snapshot,
    load_snapshot,
    newest_sound,
    set_aside,
    step_of,
)
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.store.reader import Reader


@dataclass(frozen=True)
class Progress:
    """What the database knows of a meta-training."""

    unbroken: int  # meta-iterations 1 .. unbroken are recorded
    last: int  # the last one that is recorded; greater where the curve has a hole
    checkpoints: tuple[CheckpointInfo, ...]

    @classmethod
    def of(cls, reader: Reader, run_id: int) -> "Progress":
        """Of a run in the store."""
        steps, _ = reader.curve(run_id, TRAIN_LOSS)
        broken = np.flatnonzero(steps != np.arange(1, len(steps) + 1))
        unbroken = int(broken[0]) if len(broken) else len(steps)
        return cls(unbroken, int(steps[-1]) if len(steps) else 0, tuple(reader.checkpoints(run_id)))

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of the checkpoints that are kept, by the name of the file."""
        return {Path(each.path).name: each.sha256 for each in self.checkpoints}


def place_to_go_on(folder: Path, spec: TrainSpec, progress: Progress) -> Snapshot | None:
    """Where a meta-training goes on: at its newest checkpoint, None: at the beginning.

    Args:
        folder: of its checkpoints.
        spec: the recipe.
        progress: what is recorded.

    Raises:
        CheckpointError: what is recorded and the checkpoints do not fit together; says how to mend that.
    """
    problem = disagreement(folder, spec, progress)
    if problem is not None:
        raise CheckpointError(f"'{spec.name}': {problem}\n{remedies(spec.name, folder, progress)}")
    try:
        snapshot = latest_snapshot(folder, progress.hashes)
    except CheckpointError as error:
        raise CheckpointError(f"{error}\n{remedies(spec.name, folder, progress)}") from error
    return snapshot


def disagreement(folder: Path, spec: TrainSpec, progress: Progress) -> str | None:
    """Why a meta-training cannot go on without loss from what there is; None if it can. Loads no tensor."""
    files = checkpoint_files(folder)
    reached = step_of(files[-1]) if files else 0
    if progress.unbroken < progress.last:
        return (
            f"its curve has a hole after meta-iteration {progress.unbroken} "
            f"(and goes on to {progress.last}): the database is not the one that it was recorded in"
        )
    if reached > progress.last:
        return (
            f"its checkpoints reach meta-iteration {reached}, its curve ends at {progress.last}: "
            "an older database was put back beside newer checkpoints"
        )
    first_due = min(spec.checkpoint.rolling, spec.checkpoint.every, spec.meta_iterations)
    if not files and (progress.last > first_due or progress.checkpoints):
        return f"{progress.last} meta-iterations are recorded, but there is no checkpoint of them in {folder}"
    return None


def remedies(name: str, folder: Path, progress: Progress) -> str:
    """The commands that mend what does not fit together."""
    anew = suggested("train", "--resume", name, "--from-scratch")
    good = _last_in_reach(folder, progress)
    if good is None:
        return f"Put the checkpoints back, or begin anew beside what is recorded: {anew}"
    rewind = suggested("train", "--resume", name, "--rewind")
    return (
        f"To go on from meta-iteration {step_of(good)}, the last that both have whole: {rewind} "
        f"(later checkpoints are set aside); to begin anew beside what is recorded: {anew}"
    )


def rewound(folder: Path, spec: TrainSpec, progress: Progress) -> Snapshot:
    """The newest sound checkpoint that the unbroken curve reaches; later ones are set aside.

    Raises:
        CheckpointError: there is none; nothing was changed then.
    """
    good = _last_in_reach(folder, progress)
    if good is None:
        anew = suggested("train", "--resume", spec.name, "--from-scratch")
        raise CheckpointError(
            f"'{spec.name}': no sound checkpoint in {folder} is within the first {progress.unbroken} meta-iterations, "
            f"which are recorded. Put the checkpoints back, or begin anew beside what is recorded: {anew}"
        )
    snapshot = load_snapshot(good, progress.hashes.get(good.name))
    set_aside(folder, snapshot.meta_iteration)
    return snapshot


def _last_in_reach(folder: Path, progress: Progress) -> Path | None:
    within = [path for path in checkpoint_files(folder) if step_of(path) <= progress.unbroken]
    return newest_sound(within, progress.hashes)
