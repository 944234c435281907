"""What the search for a learning rate found, and whether the fresh seeds bear it out."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnnprop_cli.plan.tuning import tied
from rnnprop_cli.records import RunInfo
from rnnprop_cli.statistics import differ, mean_with_interval
from rnnprop_cli.view.rows import RatePoint, SummaryRow
from rnnprop_cli.view.run_losses import chance_loss, losses_by_seed, missing, stuck


def searched(row: SummaryRow, search: Sequence[RunInfo], fresh: Mapping[int, float]) -> SummaryRow:
    """A row with its search.

    Args:
        row: of the final runs at the rate that was found.
        search: all runs of the search.
        fresh: final losses of the final runs, by seed.
    """
    by_rate: dict[float, dict[int, float]] = {}
    for run in search:
        if run.facts.lr is not None:
            by_rate.setdefault(run.facts.lr, {}).update(losses_by_seed([run]))
    complete = {rate: losses for rate, losses in by_rate.items() if losses}
    grid = set[int]().union(*complete.values()).intersection(*complete.values())
    # the seeds that every rate has come first, so that rates are compared on those that both have
    tried = {
        -rate: [losses[seed] for seed in (*sorted(grid), *sorted(losses.keys() - grid))]
        for rate, losses in complete.items()
    }
    chosen = complete.get(row.learning_rate or 0.0, {})
    promised = [loss for seed, loss in chosen.items() if seed not in grid] or list(chosen.values())
    finite = [loss for loss in promised if math.isfinite(loss)]
    promise = mean_with_interval(finite if len(finite) == len(promised) else [])
    return replace(
        row,
        rates=_rate_points(search),
        search_runs=len(search),
        tied_rates=tuple(sorted(-key for key in tied(tried))),
        promised_mean=promise.centre,
        promised_low=promise.low,
        promised_high=promise.high,
        promise_broken=differ(finite, [loss for loss in fresh.values() if math.isfinite(loss)]),
    )


def _rate_points(runs: Sequence[RunInfo]) -> tuple[RatePoint, ...]:
    """A search by learning rate."""
    by_rate: dict[float, list[RunInfo]] = {}
    for run in runs:
        if run.facts.lr is not None:
            by_rate.setdefault(run.facts.lr, []).append(run)
    points = []
    for rate, members in sorted(by_rate.items()):
        losses = list(losses_by_seed(members).values())
        finite = [loss for loss in losses if math.isfinite(loss)]
        statuses = Counter(run.result.status for run in members)
        mean = mean_with_interval(finite)
        points.append(
            RatePoint(
                learning_rate=rate,
                seeds=len(losses),
                diverged=len(losses) - len(finite),
                stuck=stuck(chance_loss(members[0].facts), finite),
                failed=statuses["failed"],
                missing=missing(statuses),
                final_loss_mean=mean.centre,
                final_loss_low=mean.low,
                final_loss_high=mean.high,
                final_loss_min=min(finite, default=None),
                final_loss_max=max(finite, default=None),
            )
        )
    return tuple(points)
