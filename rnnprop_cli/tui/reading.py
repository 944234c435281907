"""From the store to what the screens show, reading only what is new. Runs in the watcher's thread."""

import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnprop_cli.records import LOSS, CheckpointInfo, ExperimentInfo, RunInfo, Status
from rnnprop_cli.store.reader import EventInfo, Reader
from rnnprop_cli.tui.holder import Holder, find_holder
from rnnprop_cli.view.curves.curve import Band, Curve
from rnnprop_cli.view.curves.seed_lines import LineStyle, line_over_seeds
from rnnprop_cli.view.facts.namesakes import tell_apart
from rnnprop_cli.view.facts.progress import planned_cells
from rnnprop_cli.view.facts.training import planned_meta_iterations
from rnnprop_cli.view.table.live import LiveGroups
from rnnprop_cli.view.table.seed_groups import SeedGroup

DEFAULT_STYLE = LineStyle()
_ENDED: tuple[Status, ...] = ("done", "diverged", "failed", "interrupted")


@dataclass(frozen=True)
class Wanted:
    """What the screen in front needs beside the list of experiments. None: the newest."""

    bench_id: int | None = None
    train_id: int | None = None
    group_ids: frozenset[int] = frozenset()  # whose curves are drawn
    style: LineStyle = DEFAULT_STYLE


@dataclass(frozen=True, eq=False)
class Bench:
    """One benchmark."""

    experiment: ExperimentInfo
    groups: tuple[SeedGroup, ...]
    events: tuple[EventInfo, ...]
    steps_done: Mapping[int, int]  # of running groups, by id
    planned: int | None  # cells that it needs at least

    def group(self, group_id: int | None) -> SeedGroup | None:
        """The group of that id."""
        return next((group for group in self.groups if group.id == group_id), None)


@dataclass(frozen=True, eq=False)
class Training:
    """One meta-training."""

    experiment: ExperimentInfo
    run: RunInfo | None
    curves: Mapping[str, Curve]  # by metric
    checkpoints: tuple[CheckpointInfo, ...]
    events: tuple[EventInfo, ...]
    planned: int | None  # meta-iterations

    @property
    def done(self) -> int:
        """Meta-iterations recorded."""
        return max((int(curve.steps[-1]) for curve in self.curves.values() if len(curve)), default=0)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The store at one moment, as far as anything on the screen needs it."""

    experiments: tuple[ExperimentInfo, ...] = ()  # the one used last at the end
    counts: Mapping[int, Counter[Status]] = field(default_factory=dict)
    bench: Bench | None = None
    training: Training | None = None
    lines: Mapping[int, Curve | Band] = field(default_factory=dict)  # by group id
    holder: Holder | None = None  # who holds the writer's lock
    changed_at: float = 0.0  # monotonic: when a change was last seen

    def experiment(self, experiment_id: int | None) -> ExperimentInfo | None:
        """The experiment of that id."""
        return next((each for each in self.experiments if each.id == experiment_id), None)


class StoreReading:
    """Builds snapshots from one open reader. Remembers what cannot change any more."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._grouping: dict[int, LiveGroups] = {}
        self._runs: dict[int, tuple[object, list[RunInfo]]] = {}
        self._curves: dict[int, tuple[object, Curve]] = {}  # of ended runs, by run id
        self._lines: dict[int, tuple[object, Curve | Band]] = {}
        self._planned: dict[str, int | None] = {}  # by the spec's SHA-256

    def read(self, wanted: Wanted) -> Snapshot:
        """Everything wanted, as it is now.

        Raises:
            RnnpropError: the database cannot be read.
        """
        experiments = tuple(self._reader.experiments())
        counts = self._reader.status_counts()
        bench_id = _newest(experiments, "bench", wanted.bench_id)
        train_id = _newest(experiments, "train", wanted.train_id)
        by_id = {experiment.id: experiment for experiment in experiments}
        bench = None if bench_id is None else self._bench(by_id[bench_id], counts)
        training = None if train_id is None else self._training(by_id[train_id], counts)
        holder = find_holder(self._reader.paths)
        lines: dict[int, Curve | Band] = {}
        if bench is not None:
            shown = [group for group in bench.groups if group.id in wanted.group_ids]
            lines = self._drawn(shown, wanted.style)
        return Snapshot(experiments, counts, bench, training, lines, holder, time.monotonic())

    def _bench(self, experiment: ExperimentInfo, counts: Mapping[int, Counter[Status]]) -> Bench:
        runs = self._runs_of(experiment, counts)
        grouping = self._grouping.setdefault(experiment.id, LiveGroups())
        groups = grouping.groups(experiment, runs)
        running = [group for group in groups if group.statuses["running"]]
        firsts = {
            next(run.id for run in group.runs if run.result.status == "running"): group.id
            for group in running
        }
        live = self._reader.curves(list(firsts), LOSS)
        steps = {
            firsts[run_id]: int(steps[-1]) + 1 if len(steps) else 0 for run_id, (steps, _) in live.items()
        }
        events = tuple(self._reader.events(experiment.id))
        return Bench(experiment, groups, events, steps, self._planned_cells(experiment))

    def _planned_cells(self, experiment: ExperimentInfo) -> int | None:
        sha256 = experiment.facts.spec_sha256
        if sha256 not in self._planned:
            self._planned[sha256] = planned_cells(experiment)
        return self._planned[sha256]

    def _runs_of(self, experiment: ExperimentInfo, counts: Mapping[int, Counter[Status]]) -> list[RunInfo]:
        """Runs, read anew only when some run's status has changed: nothing else about a run ever does."""
        mark = (experiment, dict(counts.get(experiment.id, {})))
        known = self._runs.get(experiment.id)
        if known is None or known[0] != mark:
            known = (mark, tell_apart(self._reader.runs(experiment.id)))
            self._runs[experiment.id] = known
        return known[1]

    def _training(self, experiment: ExperimentInfo, counts: Mapping[int, Counter[Status]]) -> Training:
        runs = self._runs_of(experiment, counts)
        run = runs[-1] if runs else None
        curves: dict[str, Curve] = {}
        if run is not None:
            for metric in self._reader.metrics(run.id):
                steps, values = self._reader.curve(run.id, metric)
                curves[metric] = Curve(steps.astype(np.float64), values)
        checkpoints = () if run is None else tuple(self._reader.checkpoints(run.id))
        events = tuple(self._reader.events(experiment.id))
        return Training(experiment, run, curves, checkpoints, events, planned_meta_iterations(experiment))

    def _drawn(self, groups: Sequence[SeedGroup], style: LineStyle) -> dict[int, Curve | Band]:
        missing = [
            run.id
            for group in groups
            for run in group.runs
            if run.result.status != "queued" and self._curves.get(run.id, (None,))[0] != _outcome(run)
        ]
        fresh = {
            run_id: Curve(steps.astype(np.float64), values)
            for run_id, (steps, values) in self._reader.curves(missing, LOSS).items()
        }
        lines: dict[int, Curve | Band] = {}
        for group in groups:
            for run in group.runs:
                if run.id in fresh and run.result.status in _ENDED:
                    self._curves[run.id] = (_outcome(run), fresh[run.id])
            curves = [
                fresh[run.id] if run.id in fresh else self._curves[run.id][1]
                for run in group.runs
                if self._has(run, fresh)
            ]
            statuses = [run.result.status for run in group.runs if self._has(run, fresh)]
            mark = (style, [(id(curve), len(curve)) for curve in curves], statuses)
            known = self._lines.get(group.id)
            if known is None or known[0] != mark or any(run.id in fresh for run in group.runs):
                known = (mark, line_over_seeds(curves, statuses, group.facts.horizon, style))
                self._lines[group.id] = known
            lines[group.id] = known[1]
        return lines

    def _has(self, run: RunInfo, fresh: Mapping[int, Curve]) -> bool:
        return run.result.status != "queued" and (run.id in fresh or run.id in self._curves)


def _outcome(run: RunInfo) -> object:
    return run.result.status, run.started_utc, run.result.final_loss, run.result.elapsed_s


def _newest(experiments: Sequence[ExperimentInfo], kind: str, wanted: int | None) -> int | None:
    ids = [each.id for each in experiments if each.facts.kind == kind]
    if wanted in ids:
        return wanted
    return ids[-1] if ids else None


def stalled(experiment: ExperimentInfo, holder: Holder | None) -> bool:
    """Whether runs marked running cannot be: nobody on the machine that ran them holds the writer's lock."""
    here = (experiment.facts.host.split() or [""])[0] == socket.gethostname()
    return here and (holder is None or not holder.alive)
