"""The final losses of runs that differ only in their seed, and how many of them are no success."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rnnprop_cli.components.datasets import facts_of, sources
from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.table.rows import Counts

_RECORDED: Final = "chance_loss"

STUCK_FACTOR: Final = 0.98  # of the loss of guessing: from there on a run has learned nothing


def chance_loss(run: RunInfo) -> float | None:
    """Loss of guessing, where the run is a classification: as it was recorded, else as the dataset's name tells."""
    if _RECORDED in run.environment:
        found = run.environment[_RECORDED]
        return float(found) if isinstance(found, int | float) else None
    dataset = run.facts.dataset
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


def count(runs: Sequence[RunInfo]) -> Counts:
    """How runs of one problem ended."""
    losses = losses_by_seed(runs).values()
    finite = [loss for loss in losses if math.isfinite(loss)]
    statuses = Counter(run.result.status for run in runs)
    chance = chance_loss(runs[0])
    return Counts(
        seeds=len(losses),
        diverged=len(losses) - len(finite),
        # only a classification can be at chance
        stuck=0 if chance is None else sum(loss >= STUCK_FACTOR * chance for loss in finite),
        failed=statuses["failed"],
        missing=statuses["queued"] + statuses["running"] + statuses["interrupted"],
    )
