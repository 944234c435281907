"""Curves of runs, as every export and the Python interface take them."""

from collections.abc import Sequence

from rnnprop_cli.records import RunInfo
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.view.formats.curve_export import RunCurve


def read_curves(reader: Reader, runs: Sequence[RunInfo], metrics: Sequence[str] = ()) -> list[RunCurve]:
    """Run by run; of all metrics that a run has if none is named. What was not recorded is left out."""
    ids = [run.id for run in runs]
    names = list(metrics) or list(dict.fromkeys(name for run_id in ids for name in reader.metrics(run_id)))
    by_metric = {name: reader.curves(ids, name) for name in names}
    experiments = {run.experiment_id: "" for run in runs}
    experiments = {each: reader.experiment(each).facts.name for each in experiments}
    return [
        RunCurve(run, name, *by_metric[name][run.id], experiments[run.experiment_id])
        for run in runs
        for name in names
        if len(by_metric[name][run.id][0])
    ]
