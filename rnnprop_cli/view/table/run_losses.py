"""The final losses of runs that differ only in their seed, and how many of them are no success."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rnnprop_cli.records import RunInfo, Status

# Cross-entropy of guessing is ln 10: every dataset here has ten classes.
STUCK_LOSS: Final = 0.98 * math.log(10)


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


def stuck(dataset: str | None, finite_losses: Sequence[float]) -> int:
    """How many classifications ended no better than guessing."""
    return 0 if dataset is None else sum(loss >= STUCK_LOSS for loss in finite_losses)
