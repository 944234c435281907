"""What a meta-training's records say about it: how fast it goes, which checkpoint is its result."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from rnnprop_cli.records import CheckpointInfo, ExperimentInfo
from rnnprop_cli.view.curves.curve import Curve

_RECENT: Final = 50  # meta-iterations that the rate is taken over
# see `CheckpointSpec.select`
RULES: Final = ("epoch_average", "moving_average", "mean_loss", "validation", "last")
EPOCH: Final = 100  # meta-iterations whose mean train loss the authors' program logs
_DECAY: Final = 0.9  # of the average over such means


def recent_rate(curve: Curve | None) -> float | None:
    """Meta-iterations a second of late; None if that is not known."""
    if curve is None or not len(curve):
        return None
    late = curve.values[-_RECENT:]
    late = late[np.isfinite(late) & (late > 0)]
    return float(np.median(late)) if late.size else None


def selection_rule(experiment: ExperimentInfo) -> str:
    """By which of its losses a checkpoint is chosen: one of `RULES`."""
    checkpoint = experiment.spec.get("checkpoint")
    rule = checkpoint.get("select") if isinstance(checkpoint, Mapping) else None
    return rule if isinstance(rule, str) and rule in RULES else "moving_average"


def chosen_checkpoint(
    checkpoints: Sequence[CheckpointInfo], rule: str, train_loss: Curve | None = None
) -> CheckpointInfo | None:
    """The checkpoint with the lowest finite loss of that kind, or the last. None of them looks at a test optimizee.

    Args:
        checkpoints: by meta-step.
        rule: see `CheckpointSpec.select`.
        train_loss: of every meta-iteration; for epoch_average and mean_loss.
    """
    rated = [
        (loss, one)
        for one, loss in zip(checkpoints, _losses(checkpoints, rule, train_loss), strict=True)
        if loss is not None and math.isfinite(loss)
    ]
    return min(rated, key=lambda pair: pair[0], default=(None, None))[1]


def _losses(checkpoints: Sequence[CheckpointInfo], rule: str, train_loss: Curve | None) -> list[float | None]:
    if rule == "last":
        return [-float(one.meta_step) for one in checkpoints]
    if rule == "validation":
        return [one.validation_loss for one in checkpoints]
    if rule == "moving_average":
        return [one.moving_average for one in checkpoints]
    if train_loss is None:
        return [None for _ in checkpoints]
    if rule == "epoch_average":
        return [epoch_average(train_loss, one.meta_step) for one in checkpoints]
    bounds = [0, *(one.meta_step for one in checkpoints)]
    parts = [
        train_loss.values[(train_loss.steps > first) & (train_loss.steps <= last)]
        for first, last in pairwise(bounds)
    ]
    return [float(part.mean()) if part.size else None for part in parts]


def epoch_average(train_loss: Curve, meta_step: int) -> float | None:
    """Moving average, decay 0.9 and without bias towards its start, over the means of `EPOCH` meta-iterations each.

    Args:
        train_loss: of every meta-iteration, counted from 1.
        meta_step: meta-iterations that had been done; those of an unfinished epoch count only where there is no other.
    """
    losses = train_loss.values[train_loss.steps <= meta_step]
    whole = len(losses) // EPOCH * EPOCH
    if not len(losses):
        return None
    means = losses[:whole].reshape(-1, EPOCH).mean(1) if whole else losses.mean(keepdims=True)
    weights = _DECAY ** np.arange(len(means) - 1, -1, -1)
    return float(means @ weights / weights.sum())


def planned_meta_iterations(experiment: ExperimentInfo) -> int | None:
    """How long a meta-training is to be; None if its stored spec does not say."""
    planned = experiment.spec.get("meta_iterations")
    return planned if isinstance(planned, int) else None
