"""What a meta-training's records say about it: how fast it goes, which checkpoint is its result."""

import json
import math
from collections.abc import Iterable
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
    """By which of its losses a checkpoint is chosen: moving_average or validation."""
    try:
        rule = json.loads(experiment.facts.spec_json)["spec"]["checkpoint"]["select"]
    except (ValueError, KeyError, TypeError):
        return "moving_average"
    return "validation" if rule == "validation" else "moving_average"


def chosen_checkpoint(checkpoints: Iterable[CheckpointInfo], rule: str) -> CheckpointInfo | None:
    """The checkpoint with the lowest finite loss of that kind."""
    rated = [
        (loss, one)
        for one in checkpoints
        for loss in (one.validation_loss if rule == "validation" else one.moving_average,)
        if loss is not None and math.isfinite(loss)
    ]
    return min(rated, key=lambda pair: pair[0], default=(None, None))[1]


def planned_meta_iterations(experiment: ExperimentInfo) -> int | None:
    """How long a meta-training is to be; None if its stored spec does not say."""
    try:
        return int(json.loads(experiment.facts.spec_json)["spec"]["meta_iterations"])
    except (ValueError, KeyError, TypeError):
        return None
