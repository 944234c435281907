"""Runs a benchmark matrix: tune, measure, keep.

Each tuned optimizer is searched round by round on tuning seeds, then its winner and its library default are run on
fresh ones. Which cells run together depends on the spec alone; what the store has already is not run again.

This process is the driver: it alone writes. Whatever runs the cells keeps nothing, so a result is lost only if it was
not recorded, and what is recorded is never run again.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rnnprop_cli.errors import RunError
from rnnprop_cli.execute.available import require
from rnnprop_cli.execute.bench import BatchDone, BatchJob, BatchProgress
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.dispatch import Dispatched, Dispatcher, Said
from rnnprop_cli.execute.engines import open_dispatcher
from rnnprop_cli.execute.identity import identity_facts, settle_kernel
from rnnprop_cli.plan.cells import CellBatch, cell_key
from rnnprop_cli.plan.count import MAX_CELLS, count_cells
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.records import CellResult
from rnnprop_cli.runs.cell_facts import CellFacts
from rnnprop_cli.runs.environment import experiment_facts
from rnnprop_cli.runs.interrupt import StopRequest, stop_on_signals
from rnnprop_cli.runs.lane_runs import LaneRun, Results, Task, lane_rounds
from rnnprop_cli.runs.observer import (
    BatchFinished,
    BatchStarted,
    BatchStep,
    BenchPlanned,
    Notice,
    Observer,
)
from rnnprop_cli.runs.same_data import of_same_data
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.engine import AnyEngine
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer
from rnnprop_cli.view.facts.progress import FINISHED
from rnnprop_cli.view.facts.weights_facts import WEIGHTS_EVENT, WeightsFacts, parse_weights_events


@dataclass(frozen=True)
class BenchOutcome:
    """What came of a run of the command."""

    experiment_id: int
    cells: int
    ran: int
    diverged: int
    failed: int
    stopped_by: int | None  # exit code of the signal that stopped it


def run_bench(
    spec: BenchSpec,
    spec_toml: str,
    database: Path,
    engine: Engine,
    observe: Observer,
    *,
    only: str | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    by: AnyEngine | None = None,
    max_cells: int = MAX_CELLS,
) -> BenchOutcome:
    """Runs whatever of the benchmark the store does not have yet.

    Args:
        spec: the benchmark.
        spec_toml: the file it came from.
        database: where results go.
        engine: with what to run a batch: device, threads.
        observe: told what happens.
        only: a glob over the lanes' labels.
        fresh: start anew even if the store has results.
        retry_failed: run failed cells again.
        by: who carries the batches out; None: the engine that the spec names.
        max_cells: refuse larger benchmarks.

    Raises:
        UsageError: unknown weights, too many cells, or `only` matches nothing; the engine is not installed.
        DataError: a dataset is absent.
        StoreError: the database cannot be used, or another process writes to it.
        RunError: worker processes do not start.
    """
    by = spec.engine if by is None else by
    require(by.kind)
    cells = count_cells(spec, only, max_cells)
    chosen = lanes(spec, only)
    wanted = engine.kernel
    engine, kernel_notice = settle_kernel(engine, spec.dtype)
    environment = identity_facts(engine, spec.dtype)
    cell_facts = CellFacts.gather(chosen, engine, environment, database)
    facts = experiment_facts("bench", spec.name, spec, spec_toml, environment)
    with Writer.open(database) as writer, Reader.open(database) as reader, stop_on_signals() as stop:
        going_on = None if fresh else of_same_data(reader, facts, cell_facts.datasets, observe)
        experiment_id = writer.begin_experiment(facts, fresh=going_on is None, going_on=going_on)
        known = parse_weights_events(reader.events(experiment_id))
        if wanted == "auto" and engine.kernel == "reference":
            observe(Notice(kernel_notice))
        for notice in cell_facts.notices:
            observe(Notice(notice))
        for name, found in cell_facts.weights.items():
            observe(Notice(f"weights {name}: {found.source}"))
            if found.tensors_sha256 not in known:
                facts_of = WeightsFacts.of(name, found.tensors_sha256, found.made)
                writer.log_event(experiment_id, WEIGHTS_EVENT, facts_of.as_json())
        sources = [] if fresh else writer.sources_of(experiment_id)
        ledger = _Ledger(writer, reader, experiment_id, retry_failed, tuple(sources))
        ledger_id = f"{database.expanduser().resolve()}:{experiment_id}:{facts.spec_sha256}"
        dispatcher = open_dispatcher(by, engine, spec.dtype, cell_facts.datasets, database, ledger_id)
        driver = _Driver(ledger, cell_facts, dispatcher, spec.curve_points, observe, stop)
        observe(BenchPlanned(spec.name, cells, reader.count_settled(experiment_id)))
        driver.run(LaneRun(lane_rounds(lane, spec.memory_mb, observe)) for lane in chosen)
        if not stop:
            counts = reader.status_counts().get(experiment_id, Counter())
            words = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
            part = "" if only is None else f" (only {only})"
            writer.log_event(experiment_id, FINISHED, f"{spec.name}{part}: {words}")
    return BenchOutcome(
        experiment_id,
        cells=driver.seen,
        ran=driver.ran,
        diverged=driver.diverged,
        failed=driver.failed,
        stopped_by=stop.exit_code if stop else None,
    )


@dataclass(frozen=True)
class _Ledger:
    """The store, as the driver of one benchmark sees it."""

    writer: Writer
    reader: Reader
    experiment_id: int
    retry_failed: bool
    sources: tuple[int, ...]  # benchmarks of the same name, whose results are taken over

    def settled(self, keys: list[str]) -> dict[str, CellResult]:
        """Those of these cells that need not be run."""
        found = self.reader.settled_results(self.experiment_id, keys)
        return {
            key: result
            for key, result in found.items()
            if not (self.retry_failed and result.status == "failed")
        }


@dataclass(frozen=True, eq=False)
class _InFlight:
    """A batch that the dispatcher has."""

    task: Task
    keys: tuple[str, ...]
    known: dict[str, CellResult]  # of cells that the store had already

    @property
    def missing(self) -> list[str]:
        return [key for key in self.keys if key not in self.known]


@dataclass
class _Driver:
    """Keeps the dispatcher's window full and commits what comes back, batch by batch."""

    ledger: _Ledger
    facts: CellFacts
    dispatcher: Dispatcher
    curve_points: int
    observe: Observer
    stop: StopRequest
    seen: int = 0
    ran: int = 0
    diverged: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self._ready: deque[Task] = deque()
        self._in_flight: dict[tuple[str, ...], _InFlight] = {}
        self._started: set[tuple[str, ...]] = set()  # marked as running in the store

    def run(self, waiting: Iterator[LaneRun]) -> None:
        """Runs all lanes, or as far as somebody lets it."""
        try:
            while not self.stop:
                self._fill(waiting)
                if not self._in_flight:
                    return
                told = self.dispatcher.poll()
                if isinstance(told, Said):
                    self.observe(Notice(told.text))
                elif told is not None:
                    self._take(told)
            for told in self.dispatcher.finished():
                self._take(told)
            self._mark_interrupted()
        except KeyboardInterrupt:
            self._mark_interrupted()
            raise
        finally:
            self.dispatcher.close()

    def _mark_interrupted(self) -> None:
        keys = [key for each in self._started for key in self._in_flight[each].missing]
        if keys:
            self.ledger.writer.mark(self.ledger.experiment_id, keys, "interrupted")

    def _fill(self, waiting: Iterator[LaneRun]) -> None:
        """Submits batches, of lanes that are under way first."""
        while len(self._in_flight) < self.dispatcher.window and not self.stop:
            if not self._ready:
                lane = next(waiting, None)
                if lane is None:
                    return
                self._ready.extend(lane.start())
            if not self._start(self._ready[0]):
                return

    def _start(self, task: Task) -> bool:
        """Submits a batch, or takes it from the store; False if it has to wait."""
        batch = task.batch
        cells = batch.cells()
        configs = [self.facts.config(cell) for cell in cells]
        keys = tuple(map(cell_key, configs))
        busy = {key for each in self._in_flight for key in each}
        if not busy.isdisjoint(keys):
            return False  # two labels of one optimizer: its cells are run once
        self._ready.popleft()
        known = self.ledger.settled(list(keys))
        if len(known) < len(keys):
            runs = [self.facts.run_facts(*row) for row in zip(cells, keys, configs, strict=True)]
            if self.ledger.writer.add_runs(self.ledger.experiment_id, runs, self.ledger.sources):
                known = self.ledger.settled(list(keys))
        self.seen += len(keys)
        self.observe(BatchStarted(batch, skipped=len(known) == len(keys)))
        entry = _InFlight(task, keys, known)
        if not entry.missing:
            self._finish(entry, tuple(known[key] for key in keys))
            return True
        weights = self.facts.weights_of(batch.optimizer)
        self._in_flight[keys] = entry
        job = BatchJob(
            batch,
            keys,
            weights,
            self.facts.engine,
            self.curve_points,
            self.facts.dataset_sha256(batch.problem),
        )
        self.dispatcher.submit(job)
        return True

    def _take(self, told: Dispatched) -> None:
        entry = self._in_flight[told.job.keys]
        if told.job.keys not in self._started:
            self._started.add(told.job.keys)
            self.ledger.writer.mark_running(self.ledger.experiment_id, entry.missing)
        if isinstance(told.event, BatchProgress):
            self._progress(entry, told.event)
        else:
            self._commit(entry, told.job, told.event)

    def _progress(self, entry: _InFlight, event: BatchProgress) -> None:
        live = [curve for curve in event.curves if curve.key not in entry.known]
        if live:
            self.ledger.writer.append_curves(self.ledger.experiment_id, live)
        if event.notice is not None:
            self.observe(Notice(event.notice))
        self.observe(BatchStep(entry.task.batch, event.steps_done))

    def _commit(self, entry: _InFlight, job: BatchJob, event: BatchDone) -> None:
        if tuple(result.key for result in event.results) != entry.keys:
            raise RunError("a batch came back with other cells than it was given")
        fresh = [result for result in event.results if result.key not in entry.known]
        self.ledger.writer.record_results(self.ledger.experiment_id, fresh)
        del self._in_flight[entry.keys]
        self.dispatcher.release(job)
        self._started.discard(entry.keys)
        self.ran += len(fresh)
        self._tell_failures(entry.task.batch, fresh)
        self._finish(entry, tuple(entry.known.get(result.key, result) for result in event.results))

    def _finish(self, entry: _InFlight, results: Results) -> None:
        """A batch is in the store."""
        task = entry.task
        self.diverged += sum(result.status == "diverged" for result in results)
        self.failed += sum(result.status == "failed" for result in results)
        self.observe(BatchFinished(task.batch, results))
        self._ready.extendleft(reversed(task.lane.take(task, results)))

    def _tell_failures(self, batch: CellBatch, results: list[CellResult]) -> None:
        reasons = [result.error or "" for result in results if result.status == "failed"]
        for reason in dict.fromkeys(reasons):
            count = reasons.count(reason)
            cells = "" if count == len(batch) else f" ({count} of {len(batch)} cells)"
            first_line = (reason.splitlines() or [""])[0]
            self.observe(
                Notice(f"{batch.optimizer.name} x{batch.problem.horizon}{cells} failed: {first_line}")
            )
