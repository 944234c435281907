"""How far a benchmark is, and when it will be done."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from rnnprop_cli.errors import RnnpropError
from rnnprop_cli.plan.count import count_cells
from rnnprop_cli.records import ExperimentInfo, Status
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.stored import upgraded_bench
from rnnprop_cli.view.table.seed_groups import SeedGroup

_SETTLED: Final[tuple[Status, ...]] = ("done", "diverged", "failed")
_LEAST_S: Final = 2.0  # that a rate is taken over
FINISHED: Final = "finished"  # kind of the event that a benchmark ends its log with


@dataclass(frozen=True)
class Progress:
    """Of a whole experiment."""

    share: float  # of its work, in [0, 1]
    remaining_s: float | None  # at the rate since it was started last; None where that is not known


def is_settled(statuses: Counter[Status]) -> bool:
    """Whether there are runs, and none of them goes on."""
    return statuses.total() > 0 and not sum(
        statuses[status] for status in ("queued", "running", "interrupted")
    )


def stored_bench(experiment: ExperimentInfo) -> BenchSpec | None:
    """The spec of a benchmark as it was resolved; None where an earlier version wrote what this one cannot read."""
    try:
        return BenchSpec.model_validate_json(json.dumps(upgraded_bench(experiment.spec)))
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError):
        return None


def planned_cells(experiment: ExperimentInfo) -> int | None:
    """Cells that a benchmark needs at least; a search may ask for more."""
    spec = stored_bench(experiment)
    try:
        return None if spec is None else count_cells(spec)
    except RnnpropError:
        return None


def bench_progress(
    planned: int | None,
    groups: Sequence[SeedGroup],
    steps_done: Mapping[int, int],
    begun: datetime | None,
    now: datetime,
) -> Progress | None:
    """How far a benchmark is.

    Args:
        planned: see `planned_cells`.
        groups: all of its groups.
        steps_done: of running groups, by id.
        begun: when it was started last.
        now: the same clock.
    """
    runs = [run for group in groups for run in group.runs]
    total = max(planned or 0, len(runs))
    if not total:
        return None
    settled = [run for run in runs if run.result.status in _SETTLED]
    under_way = sum(
        group.statuses["running"] * min(steps_done.get(group.id, 0) / group.facts.horizon, 1.0)
        for group in groups
    )
    share = min((len(settled) + under_way) / total, 1.0)
    if begun is None:
        return Progress(share, None)
    fresh = under_way + sum((at := moment(run.started_utc)) is not None and at >= begun for run in settled)
    elapsed_s = (now - begun).total_seconds()
    if fresh <= 0 or elapsed_s < _LEAST_S:
        return Progress(share, None)
    return Progress(share, elapsed_s / fresh * (total - len(settled) - under_way))


def begun_last(experiment: ExperimentInfo, events: Iterable[tuple[str, str, str]]) -> datetime | None:
    """When the command that works on an experiment was started last."""
    times = [experiment.created_utc, *(time for time, kind, _ in events if kind == "continued")]
    return max((at for time in times if (at := moment(time)) is not None), default=None)


def moment(utc: str | None) -> datetime | None:
    """A time of the store; None where it is none."""
    try:
        found = datetime.fromisoformat(utc or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
