"""What the search for a learning rate found, and whether the fresh seeds bear it out."""

import math
from collections.abc import Mapping, Sequence

from rnnprop_cli.plan.tuning import tied
from rnnprop_cli.statistics import differ, mean_with_interval
from rnnprop_cli.view.table.grouping import Seeds
from rnnprop_cli.view.table.rows import RatePoint, Search
from rnnprop_cli.view.table.run_losses import count


def search_of(groups: Sequence[Seeds], chosen: float | None, fresh: Mapping[int, float]) -> Search:
    """A search as its row tells of it.

    Args:
        groups: its runs, a group for each rate.
        chosen: the rate of the row.
        fresh: final losses of the final runs, by seed.
    """
    complete = {one.facts.lr: one.losses for one in groups if one.facts.lr is not None and one.losses}
    grid = set[int]().union(*complete.values()).intersection(*complete.values())
    # the seeds that every rate has come first, so that rates are compared on those that both have
    tried = {
        -rate: [losses[seed] for seed in (*sorted(grid), *sorted(losses.keys() - grid))]
        for rate, losses in complete.items()
    }
    confirming = complete.get(chosen or 0.0, {})
    promised = [loss for seed, loss in confirming.items() if seed not in grid] or list(confirming.values())
    finite = [loss for loss in promised if math.isfinite(loss)]
    return Search(
        rates=tuple(point for point in map(rate_point, groups) if point is not None),
        runs=sum(len(one.runs) for one in groups),
        tied=tuple(sorted(-key for key in tied(tried))),
        promised=mean_with_interval(finite if len(finite) == len(promised) else []),
        promise_broken=differ(finite, [loss for loss in fresh.values() if math.isfinite(loss)]),
    )


def rate_point(group: Seeds) -> RatePoint | None:
    """A group of a search in figures; None where its optimizer has no learning rate."""
    if group.facts.lr is None:
        return None
    finite = [loss for loss in group.losses.values() if math.isfinite(loss)]
    return RatePoint(
        learning_rate=group.facts.lr,
        counts=count(group.runs),
        loss=mean_with_interval(finite),
        lowest=min(finite, default=None),
        highest=max(finite, default=None),
    )
