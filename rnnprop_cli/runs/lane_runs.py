"""A lane on its way: rounds of batches, each decided by what the one before it measured."""

from collections.abc import Generator
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from rnnprop_cli.plan.cells import CellBatch, split
from rnnprop_cli.plan.lanes import Lane, lane_size
from rnnprop_cli.plan.tuning import best_k, grid_rate, next_round
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
    tried: dict[int, list[float]] = {}
    part = lane.first_round()
    # What the plan has counted: one grid, and the confirmation of as few rates as there may be.
    counted = lane_size(lane.spec, lane.optimizer, 0, lane.search) if part is not None else 0
    while part is not None:
        counted -= len(part.ks) * len(part.seeds)
        if counted < 0:
            observe(CellsAdded(-counted))
            counted = 0
        measured = yield list(split(lane.search_batch(part), memory_mb))
        losses = _losses(measured)
        for k in part.ks:
            tried.setdefault(k, []).extend(losses[grid_rate(k)])
        part = next_round(lane.search, tried)
    if counted:
        observe(CellsAdded(-counted))
    best = best_k(tried)
    if tried and best is None:
        observe(Notice(f"{lane.label}: no learning rate of the search worked; its default is used"))
    elif best is not None and best in (min(tried), max(tried)):
        observe(Notice(f"{lane.label}: the best learning rate lies at the edge of the widest search"))
    yield [part for batch in lane.fresh_batches(tried) for part in split(batch, memory_mb)]


def _losses(measured: list[Measured]) -> dict[float | None, list[float]]:
    """Learning rate → final losses in the order of the seeds, infinite where a run did not reach one."""
    losses: dict[float | None, list[float]] = {}
    for batch, results in measured:
        for cell, result in zip(batch.cells(), results, strict=True):
            reached = result.status == "done" and result.final_loss is not None
            losses.setdefault(cell.lr, []).append(result.final_loss if reached else inf)  # type: ignore[arg-type]
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
