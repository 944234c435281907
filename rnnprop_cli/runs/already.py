"""How far a database has come with a benchmark: its lanes take their rounds again, fed by what is there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.identity import identity_facts, settle_kernel
from rnnprop_cli.plan.cells import CellBatch, cell_key
from rnnprop_cli.plan.lanes import Lane
from rnnprop_cli.records import CellResult
from rnnprop_cli.runs.cell_facts import CellFacts
from rnnprop_cli.runs.lane_runs import Measured, lane_rounds
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.store.reader import Reader


@dataclass(frozen=True)
class Kept:
    """What is there of a lane."""

    cells: int
    complete: bool  # nothing is left to run


def kept_lanes(spec: BenchSpec, lanes: Iterable[Lane], engine: Engine, database: Path) -> dict[str, Kept]:
    """What running the benchmark would find, by the lanes' labels; lanes of code from outside only where it is allowed.

    Raises:
        UsageError, DataError, CheckpointError: datasets or weights cannot be had, see `CellFacts.gather`.
        StoreError: the database cannot be read.
    """
    if not database.expanduser().exists():
        return {}
    known = [
        lane
        for lane in lanes
        if engine.allow_code or (lane.problem.optimizee.code is None and lane.optimizer.code is None)
    ]
    engine, _ = settle_kernel(engine, spec.dtype)
    with Reader.open(database) as reader:
        experiments = [found.id for found in reader.experiments("bench", spec.name)]
        if not experiments:
            return {}
        facts = CellFacts.gather(known, engine, identity_facts(engine, spec.dtype), database)
        return {lane.label: _kept(lane, spec.memory_mb, _Store(reader, experiments, facts)) for lane in known}


@dataclass(frozen=True)
class _Store:
    reader: Reader
    experiments: list[int]  # of the benchmark's name: all that its run may take results from
    facts: CellFacts

    def results(self, batch: CellBatch) -> list[CellResult | None]:
        """Of each of its cells."""
        keys = [cell_key(self.facts.config(cell)) for cell in batch.cells()]
        found = chain.from_iterable(
            self.reader.settled_results(experiment, keys).items() for experiment in self.experiments
        )
        by_key = dict(found)
        return [by_key.get(key) for key in keys]


def _kept(lane: Lane, memory_mb: int, store: _Store) -> Kept:
    rounds = lane_rounds(lane, memory_mb, lambda event: None)
    count = 0
    batches = next(rounds)
    while True:
        found = [store.results(batch) for batch in batches]
        whole = [tuple(_there(results)) for results in found]
        count += sum(map(len, whole))
        if any(len(there) < len(results) for there, results in zip(whole, found, strict=True)):
            return Kept(count, complete=False)
        try:
            batches = rounds.send([*map(Measured, batches, whole)])
        except StopIteration:
            return Kept(count, complete=True)


def _there(results: list[CellResult | None]) -> Iterator[CellResult]:
    return (result for result in results if result is not None)
