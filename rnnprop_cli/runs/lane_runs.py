"""A lane on its way: rounds of batches, each decided by what the one before it measured."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

from rnnprop_cli.plan.cells import CellBatch, split
from rnnprop_cli.plan.lanes import Lane
from rnnprop_cli.plan.tuning import best_k, grid_rate, mean_or_inf, next_round
from rnnprop_cli.records import CellResult
from rnnprop_cli.runs.observer import CellsAdded, Notice, Observer

Results = tuple[CellResult, ...]  # of the cells of one batch


class Measured(NamedTuple):
    """A batch with what came of it."""

    batch: CellBatch
    results: Results


Rounds = Generator[list[CellBatch], list[Measured], None]


def lane_rounds(lane: Lane, memory_mb: int, observe: Observer) -> Rounds:
    """Search, then final and untuned runs.

    Args:
        lane: whose rounds.
        memory_mb: batches are split to stay under it.
        observe: told when the search grows or fails.

    Yields:
        Batches that may run in any order and side by side; is sent what they measured, in the order yielded.
    """
    tried: dict[int, float] = {}
    ks = lane.first_ks()
    while ks:
        measured = yield list(split(lane.tuning_batch(ks), memory_mb))
        losses = _losses(measured)
        tried |= {k: mean_or_inf(losses[grid_rate(k)]) for k in ks}
        ks = next_round(lane.spec.tuning, tried)
        if ks:
            observe(CellsAdded(len(ks) * lane.tuning_seeds))
    best = best_k(tried)
    if tried and best is None:
        observe(Notice(f"{lane.label}: no learning rate of the search worked; its default is used"))
    elif best is not None and best in (min(tried), max(tried)):
        observe(Notice(f"{lane.label}: the best learning rate lies at the edge of the widest search"))
    yield [part for batch in lane.fresh_batches(tried) for part in split(batch, memory_mb)]


def _losses(measured: list[Measured]) -> dict[float | None, list[float | None]]:
    """Learning rate → final losses, None where a run did not reach one."""
    losses: dict[float | None, list[float | None]] = {}
    for batch, results in measured:
        for cell, result in zip(batch.cells(), results, strict=True):
            losses.setdefault(cell.lr, []).append(result.final_loss if result.status == "done" else None)
    return losses


class LaneRun:
    """One lane's rounds and what is still missing of the current one."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._results: dict[int, Measured] = {}
        self._round: list[CellBatch] = []

    def start(self) -> "list[Task]":
        """The first round."""
        return self._begin(next(self._rounds))

    def take(self, task: "Task", results: Results) -> "list[Task]":
        """Takes one batch's results in; returns the next round if they were the last of this one."""
        self._results[task.index] = Measured(task.batch, results)
        if len(self._results) < len(self._round):
            return []
        in_order = [self._results[index] for index in range(len(self._round))]
        try:
            return self._begin(self._rounds.send(in_order))
        except StopIteration:
            return []

    def _begin(self, batches: list[CellBatch]) -> "list[Task]":
        self._round, self._results = batches, {}
        return [Task(self, index, batch) for index, batch in enumerate(batches)]


@dataclass(frozen=True, eq=False)
class Task:
    """A batch of a lane's current round."""

    lane: LaneRun
    index: int  # in its round
    batch: CellBatch
