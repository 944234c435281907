"""Runs a benchmark matrix: tune, measure, keep.

Each tuned optimizer is searched round by round on tuning seeds, then its winner and its library default are run on
fresh ones. Which cells run together depends on the spec alone; what the store has already is not run again.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rnnprop_cli.data.datasets import load_dataset
from rnnprop_cli.errors import RunError
from rnnprop_cli.execute.bench import BatchDone, BatchJob, BatchProgress, Dispatcher, InProcess
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.plan.cells import Cell, CellBatch, cell_config, cell_key, split
from rnnprop_cli.plan.identity import canonical_json
from rnnprop_cli.plan.lanes import Lane, lanes
from rnnprop_cli.plan.tuning import best_k, grid_rate, mean_or_inf, next_round
from rnnprop_cli.records import CellResult, LrSource, RunFacts
from rnnprop_cli.runs.environment import experiment_facts, identity_facts
from rnnprop_cli.runs.interrupt import StopRequest, stop_on_signals
from rnnprop_cli.runs.observer import (
    BatchFinished,
    BatchStarted,
    BatchStep,
    BenchPlanned,
    CellsAdded,
    Notice,
    Observer,
)
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.optimizees import activation_of, dataset_of, depth_of
from rnnprop_cli.spec.optimizers import LearnedSpec
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer

SETTLED: Final = ("done", "diverged", "failed")  # a failed cell is tried again only on request


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
) -> BenchOutcome:
    """Runs whatever of the benchmark the store does not have yet.

    Raises:
        UsageError: unknown weights, or `only` matches nothing.
        DataError: a dataset is absent.
        StoreError: the database cannot be used, or another process writes to it.
    """
    chosen = lanes(spec, only)
    names = {name for lane in chosen if (name := dataset_of(lane.problem.optimizee))}
    datasets = {name: load_dataset(name, engine.data_dir).sha256 for name in sorted(names)}
    weights = {
        lane.optimizer.weights: find_weights(lane.optimizer.weights, database)
        for lane in chosen
        if isinstance(lane.optimizer, LearnedSpec)
    }
    environment = identity_facts(engine, spec.dtype)
    facts = experiment_facts("bench", spec.name, spec, spec_toml, environment)
    with Writer.open(database) as writer, Reader.open(database) as reader, stop_on_signals() as stop:
        experiment_id = writer.begin_experiment(facts, fresh=fresh)
        known = {
            run.facts.key: run.result
            for run in reader.runs(experiment_id)
            if run.result.status in SETTLED and not (retry_failed and run.result.status == "failed")
        }
        driver = _Driver(
            spec, engine, writer, experiment_id, known, environment, datasets, weights, observe, stop
        )
        planned = [batch for lane in chosen for batch in lane.first_batches()]
        observe(BenchPlanned(spec.name, sum(map(len, planned)), len(known)))
        for lane in chosen:
            driver.run_lane(lane)
            if stop:
                break
    return BenchOutcome(
        experiment_id,
        cells=driver.seen,
        ran=driver.ran,
        diverged=sum(result.status == "diverged" for result in driver.results),
        failed=sum(result.status == "failed" for result in driver.results),
        stopped_by=stop.exit_code if stop else None,
    )


@dataclass
class _Driver:
    """Carries out the batches of one benchmark and remembers their results."""

    spec: BenchSpec
    engine: Engine
    writer: Writer
    experiment_id: int
    known: dict[str, CellResult]
    environment: dict[str, str | int]
    datasets: dict[str, str]
    weights: dict[str, Weights]
    observe: Observer
    stop: StopRequest
    dispatcher: Dispatcher = field(default_factory=InProcess)

    def __post_init__(self) -> None:
        self.results: list[CellResult] = []
        self.seen = 0
        self.ran = 0

    def run_lane(self, lane: Lane) -> None:
        """Search, final runs, untuned runs."""
        tried: dict[int, float] = {}
        ks = lane.first_ks()
        while ks and not self.stop:
            losses = self._run(lane.tuning_batch(ks))
            tried |= {k: mean_or_inf(losses[grid_rate(k)]) for k in ks}
            ks = next_round(self.spec.tuning, tried)
            if ks:
                self.observe(CellsAdded(len(ks) * lane.tuning_seeds))
        if self.stop:
            return
        best = best_k(tried)
        if tried and best is None:
            self.observe(Notice(f"{lane.label}: no learning rate of the search worked; its default is used"))
        elif best is not None and best in (min(tried), max(tried)):
            self.observe(
                Notice(f"{lane.label}: the best learning rate lies at the edge of the widest search")
            )
        for batch in lane.fresh_batches(tried):
            self._run(batch)

    def _run(self, whole: CellBatch) -> dict[float | None, list[float | None]]:
        """Runs a batch in its parts; returns the final losses of every learning rate (None: not finite)."""
        losses: dict[float | None, list[float | None]] = {rate: [] for rate in whole.learning_rates}
        for batch in split(whole, self.spec.memory_mb):
            if self.stop:
                break
            for cell, result in zip(batch.cells(), self._run_part(batch), strict=False):
                losses[cell.lr].append(result.final_loss if result.status == "done" else None)
                self.results.append(result)
        return losses

    def _run_part(self, batch: CellBatch) -> tuple[CellResult, ...]:
        cells = batch.cells()
        configs = [cell_config(cell, self._facts(cell)) for cell in cells]
        keys = [cell_key(config) for config in configs]
        missing = {key for key in keys if key not in self.known}
        self.seen += len(keys)
        self.observe(BatchStarted(batch, skipped=not missing))
        if missing:
            runs = [self._run_facts(*row) for row in zip(cells, keys, configs, strict=True)]
            self.writer.add_runs(self.experiment_id, runs)
            todo = [key for key in keys if key in missing]
            self.writer.mark_running(self.experiment_id, todo)
            results = self._execute(batch, keys, missing)
            if results is None:
                return ()
            self.known.update((result.key, result) for result in results if result.key in missing)
            self.ran += len(missing)
        results = tuple(self.known[key] for key in keys)
        self.observe(BatchFinished(batch, results))
        return results

    def _execute(self, batch: CellBatch, keys: list[str], missing: set[str]) -> tuple[CellResult, ...] | None:
        """Runs the batch and stores what is missing of it; None if it was stopped on the way."""
        todo = [key for key in keys if key in missing]
        optimizer = batch.optimizer
        weights = self.weights[optimizer.weights] if isinstance(optimizer, LearnedSpec) else None
        try:
            events = self.dispatcher.run(
                BatchJob(batch, tuple(keys), weights, self.engine, self.spec.curve_points)
            )
            for event in events:
                if isinstance(event, BatchDone):
                    results = [result for result in event.results if result.key in missing]
                    self.writer.record_results(self.experiment_id, results)
                    return event.results
                self._progress(batch, event, missing)
                if self.stop:
                    events.close()
                    self.writer.mark(self.experiment_id, todo, "interrupted")
                    return None
        except KeyboardInterrupt:
            self.writer.mark(self.experiment_id, todo, "interrupted")
            raise
        except (RuntimeError, MemoryError, ArithmeticError, ValueError) as error:
            # The batch failed, not the benchmark: the reason is kept, the other batches go on.
            reason = f"{type(error).__name__}: {error}"
            self.observe(
                Notice(f"{batch.optimizer.name} x{batch.problem.horizon} failed: {reason.splitlines()[0]}")
            )
            failed = tuple(CellResult(key, "failed", error=reason) for key in keys)
            self.writer.record_results(self.experiment_id, [each for each in failed if each.key in missing])
            return failed
        raise RunError("a batch ended without a result")

    def _progress(self, batch: CellBatch, event: BatchProgress, missing: set[str]) -> None:
        live = [curve for curve in event.curves if curve.key in missing]
        if live:
            self.writer.append_curves(self.experiment_id, live)
        self.observe(BatchStep(batch, event.steps_done))

    def _facts(self, cell: Cell) -> dict[str, str | int]:
        facts = dict(self.environment)
        dataset = dataset_of(cell.problem.optimizee)
        if dataset is not None:
            facts["dataset_sha256"] = self.datasets[dataset]
        if isinstance(cell.optimizer, LearnedSpec):
            facts["weights_sha256"] = self.weights[cell.optimizer.weights].sha256
        return facts

    def _run_facts(self, cell: Cell, key: str, config: dict[str, object]) -> RunFacts:
        optimizee = cell.problem.optimizee
        lr = cell.lr
        if lr is None and isinstance(cell.optimizer, LearnedSpec):
            lr = self.weights[cell.optimizer.weights].architecture.alpha
        return RunFacts(
            key=key,
            phase=cell.phase,
            optimizer=cell.optimizer.name,
            is_baseline=not isinstance(cell.optimizer, LearnedSpec),
            optimizee=optimizee.label,
            dataset=dataset_of(optimizee),
            depth=depth_of(optimizee),
            activation=activation_of(optimizee),
            horizon=cell.problem.horizon,
            lr=lr,
            lr_source=_lr_source(cell),
            seed=cell.seed,
            config_json=canonical_json(config),
            device=self.engine.device,
            dtype=cell.problem.dtype,
            threads=self.engine.threads,
        )


def _lr_source(cell: Cell) -> LrSource:
    """Where the cell's learning rate comes from."""
    if isinstance(cell.optimizer, LearnedSpec):
        return "own"
    if cell.phase == "default" or cell.optimizer.lr == "default":
        return "default"
    return "tuned" if cell.optimizer.lr == "tuned" else "given"
