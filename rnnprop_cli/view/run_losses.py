"""The final losses of runs that differ only in their seed, and how many of them are no success."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from rnnprop_cli.components.datasets import facts_of, sources
from rnnprop_cli.records import RunFacts, RunInfo, Status

_RECORDED: Final = "chance_loss"

STUCK_FACTOR: Final = 0.98  # of the loss of guessing: from there on a run has learned nothing


def chance_loss(facts: RunFacts) -> float | None:
    """Loss of guessing, where the run is a classification: as it was recorded, else as the dataset's name tells."""
    return _chance_loss(facts.config_json, facts.dataset)


@lru_cache(maxsize=1 << 12)
def _chance_loss(config_json: str, dataset: str | None) -> float | None:
    try:
        environment = json.loads(config_json)["environment"]
        if _RECORDED in environment:
            found = environment[_RECORDED]
            return float(found) if isinstance(found, int | float) else None
    except (ValueError, KeyError, TypeError):
        pass
    return facts_of(dataset).chance_loss if dataset in sources() else None


def losses_by_seed(runs: Sequence[RunInfo]) -> dict[int, float]:
    """Final losses by seed of the runs that gave a result; a diverged one has infinity."""
    losses = {}
    for run in runs:
        loss = run.result.final_loss
        if run.result.status == "done" and loss is not None and math.isfinite(loss):
            losses[run.facts.seed] = loss
        elif run.result.status in ("done", "diverged"):
            losses[run.facts.seed] = math.inf
    return losses


def missing(statuses: Counter[Status]) -> int:
    """Runs that have no result yet."""
    return statuses["queued"] + statuses["running"] + statuses["interrupted"]


def stuck(chance: float | None, finite_losses: Sequence[float]) -> int:
    """How many classifications ended no better than guessing."""
    return 0 if chance is None else sum(loss >= STUCK_FACTOR * chance for loss in finite_losses)
