"""Reads a benchmark as a report shows it: rows, their confirmation from other root seeds, notes on weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rnnprop_cli.errors import UsageError, suggested
from rnnprop_cli.records import LOSS, ExperimentInfo, RunInfo
from rnnprop_cli.store.reader import Curve, Reader
from rnnprop_cli.view.facts.namesakes import tell_apart
from rnnprop_cli.view.facts.weights_facts import weights_sentences
from rnnprop_cli.view.table.confirmed import confirmations, with_confirmations
from rnnprop_cli.view.table.seed_groups import Summary
from rnnprop_cli.view.table.summary import summarize


@dataclass(frozen=True)
class Reported:
    """One benchmark."""

    experiment: ExperimentInfo
    runs: list[RunInfo]
    summary: Summary


def read_report(reader: Reader, bench: str | None = None) -> Reported:
    """The newest benchmark of a name, or the one of an id; without either, the one that was used last.

    Raises:
        UsageError: there is none.
        StoreError: the database is damaged.
    """

    def load_curves(run_ids: Sequence[int]) -> dict[int, Curve]:
        return reader.curves(run_ids, LOSS)

    experiment = newest_bench(reader) if bench is None else reader.find_experiment(bench, kind="bench")
    runs = tell_apart(reader.runs(experiment.id))
    others = confirmations(experiment, reader.experiments("bench", experiment.facts.name))
    again = [
        (root, summarize(other, tell_apart(reader.runs(other.id)))) for root, other in sorted(others.items())
    ]
    summary = with_confirmations(summarize(experiment, runs, load_curves), again)
    notes = weights_sentences(runs, reader.events(experiment.id))
    return Reported(experiment, runs, replace(summary, notes=tuple(notes)))


def newest_bench(reader: Reader) -> ExperimentInfo:
    """The benchmark that was used last.

    Raises:
        UsageError: there is none.
    """
    every = reader.experiments("bench")
    if not every:
        raise UsageError(
            f"no benchmark in {reader.path} yet. `rnnprop bench --spec NAME` makes one: "
            f"`{suggested('spec', 'list')}` shows those that come along."
        )
    return every[-1]
