"""Reading what was recorded. Every call opens the database for itself: nothing has to be closed, and runs may go on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rnnprop_cli.api.tables import Curves, Runs, Table
from rnnprop_cli.records import LOSS, ExperimentInfo, Phase, RunInfo
from rnnprop_cli.runs.curves import read_curves
from rnnprop_cli.runs.report import newest_bench, read_report
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.several import open_readers
from rnnprop_cli.view.facts.namesakes import tell_apart


@dataclass(frozen=True)
class Results:
    """What one database, or several, hold."""

    paths: tuple[Path, ...]

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        with open_readers(self.paths) as reader:
            yield reader

    def experiments(self) -> list[ExperimentInfo]:
        """Benchmarks and meta-trainings, the one used last at the end."""
        with self._reader() as reader:
            return reader.experiments()

    def summary(self, bench: str | int | None = None) -> Table:
        """A benchmark as a table.

        Args:
            bench: its name or id; None: the one that was used last.

        Raises:
            UsageError: there is none.
            StoreError: the database cannot be read.
        """
        with self._reader() as reader:
            found = read_report(reader, None if bench is None else str(bench))
        return Table(found.summary.bench, found.summary.rows, found.summary.notes)

    def runs(
        self,
        experiment: str | int | None = None,
        *,
        optimizer: str | None = None,
        phase: Phase | None = None,
        horizon: int | None = None,
    ) -> Runs:
        """Runs of an experiment.

        Args:
            experiment: name or id of a benchmark or a meta-training; None: the benchmark that was used last.
            optimizer: only those of this label.
            phase: only "tuning", "final" or "default" ones; "train" for those of meta-trainings.
            horizon: only those of so many steps.

        Raises:
            UsageError: there is no such experiment.
            StoreError: the database cannot be read.
        """
        with self._reader() as reader:
            return Runs(tuple(_select(reader, experiment, optimizer, phase, horizon)))

    def curves(
        self,
        experiment: str | int | None = None,
        *,
        metric: str | Sequence[str] = LOSS,
        optimizer: str | None = None,
        phase: Phase | None = None,
        horizon: int | None = None,
    ) -> Curves:
        """Curves of runs, chosen as by `runs`.

        Args:
            experiment: as in `runs`; so are `optimizer`, `phase` and `horizon`.
            metric: "loss" of benchmarks; "train_loss", "validation_loss" and others of meta-trainings; one or several.
            optimizer: see `runs`.
            phase: see `runs`.
            horizon: see `runs`.
        """
        metrics = [metric] if isinstance(metric, str) else list(metric)
        with self._reader() as reader:
            chosen = _select(reader, experiment, optimizer, phase, horizon)
            return Curves(tuple(read_curves(reader, chosen, metrics)))


def open_results(path: str | Path | Sequence[str | Path], *more: str | Path) -> Results:
    """A database of results; several are read as one, the same cell once.

    Args:
        path: of a database, or a sequence of them.
        more: further databases.

    Returns:
        What is in it. Nothing is written, whatever is called.

    Raises:
        StoreError: there is no such database, or it is damaged, of another program or version.

    >>> results = open_results("results/rnnprop.db")          # doctest: +SKIP
    >>> results.summary("base_mlp").frame()                   # doctest: +SKIP
    >>> results.curves("base_mlp", optimizer="adam", phase="final").frame()  # doctest: +SKIP
    """
    named = [path] if isinstance(path, str | Path) else list(path)
    paths = tuple(Path(each).expanduser() for each in (*named, *more))
    with open_readers(paths):
        return Results(paths)


def _select(
    reader: Reader,
    experiment: str | int | None,
    optimizer: str | None,
    phase: Phase | None,
    horizon: int | None,
) -> list[RunInfo]:
    found = newest_bench(reader) if experiment is None else reader.find_experiment(experiment)
    runs = reader.runs(found.id, None if phase is None else [phase])
    return [
        run
        for run in (tell_apart(runs) if found.facts.kind == "bench" else runs)
        if optimizer in (None, run.facts.optimizer) and horizon in (None, run.facts.horizon)
    ]
