"""What a meta-training's records say about it: how fast it goes, which checkpoint is its result."""

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from rnnprop_cli.records import CheckpointInfo, ExperimentInfo
from rnnprop_cli.view.curves import Curve

_RECENT: Final = 50  # meta-iterations that the rate is taken over


def recent_rate(curve: Curve | None) -> float | None:
    """Meta-iterations a second of late; None if that is not known."""
    if curve is None or not len(curve):
        return None
    late = curve.values[-_RECENT:]
    late = late[np.isfinite(late) & (late > 0)]
    return float(np.median(late)) if late.size else None


def selection_rule(experiment: ExperimentInfo) -> str:
    """By which of its losses a checkpoint is chosen: moving_average, mean_loss or validation."""
    try:
        rule = json.loads(experiment.facts.spec_json)["spec"]["checkpoint"]["select"]
    except (ValueError, KeyError, TypeError):
        return "moving_average"
    return rule if rule in ("mean_loss", "validation") else "moving_average"


def chosen_checkpoint(
    checkpoints: Sequence[CheckpointInfo], rule: str, train_loss: Curve | None = None
) -> CheckpointInfo | None:
    """The checkpoint with the lowest finite loss of that kind. None of them looks at a test optimizee.

    Args:
        checkpoints: by meta-step.
        rule: see `CheckpointSpec.select`.
        train_loss: of every meta-iteration; for mean_loss.
    """
    rated = [
        (loss, one)
        for one, loss in zip(checkpoints, _losses(checkpoints, rule, train_loss), strict=True)
        if loss is not None and math.isfinite(loss)
    ]
    return min(rated, key=lambda pair: pair[0], default=(None, None))[1]


def _losses(checkpoints: Sequence[CheckpointInfo], rule: str, train_loss: Curve | None) -> list[float | None]:
    if rule == "validation":
        return [one.validation_loss for one in checkpoints]
    if rule == "moving_average":
        return [one.moving_average for one in checkpoints]
    if train_loss is None:
        return [None for _ in checkpoints]
    bounds = [0, *(one.meta_step for one in checkpoints)]
    parts = [
        train_loss.values[(train_loss.steps > first) & (train_loss.steps <= last)]
        for first, last in pairwise(bounds)
    ]
    return [float(part.mean()) if part.size else None for part in parts]


def planned_meta_iterations(experiment: ExperimentInfo) -> int | None:
    """How long a meta-training is to be; None if its stored spec does not say."""
    try:
        return int(json.loads(experiment.facts.spec_json)["spec"]["meta_iterations"])
    except (ValueError, KeyError, TypeError):
        return None
