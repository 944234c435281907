"""Tables of `rnnprop runs`. All text passes through `safe_text`."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from rich import box
from rich.table import Table

from rnnprop_cli.records import CheckpointInfo, ExperimentInfo, LrSource, RunInfo, Status
from rnnprop_cli.store.reader import Curve
from rnnprop_cli.view.curves.sparkline import sparkline
from rnnprop_cli.view.numbers import format_loss, format_rate
from rnnprop_cli.view.safe_text import safe_text

_LR_SOURCES: Final[dict[LrSource, str]] = {
    "tuned": "of the search",
    "given": "of the spec",
    "default": "the library's own",
    "own": "the learned optimizer's own",
}


def _new_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)


def experiments_table(experiments: Sequence[ExperimentInfo], counts: Mapping[int, Counter[Status]]) -> Table:
    """One line per experiment, the one used last at the end."""
    table = _new_table()
    for name in ("id", "kind", "name", "started", "runs"):
        table.add_column(name, justify="right" if name == "id" else "left", no_wrap=name != "runs")
    for experiment in experiments:
        statuses = counts.get(experiment.id, Counter())
        table.add_row(
            str(experiment.id),
            experiment.facts.kind,
            safe_text(experiment.facts.name),
            experiment.created_utc,
            ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none",
        )
    return table


def runs_table(runs: Sequence[RunInfo]) -> Table:
    """One line per run."""
    table = _new_table()
    for name in ("id", "status", "phase", "optimizer", "lr", "problem", "seed", "final loss"):
        number = name in ("id", "lr", "seed", "final loss")
        table.add_column(
            name, justify="right" if number else "left", no_wrap=number or name == "status", overflow="fold"
        )
    for run in runs:
        f, r = run.facts, run.result
        depth = "" if f.depth is None else f" d{f.depth}"
        table.add_row(
            str(run.id),
            r.status,
            f.phase,
            safe_text(f.optimizer),
            format_rate(f.lr),
            safe_text(f"{f.dataset or ''} {f.network}".strip()) + f"{depth} x{f.horizon}",
            str(f.seed),
            _loss(r.final_loss),
        )
    return table


def error_lines(runs: Sequence[RunInfo]) -> list[str]:
    """What went wrong, a line for each run that has an error."""
    return [f"{run.id}: {safe_text(_first_line(run.result.error))}" for run in runs if run.result.error]


def facts_table(run: RunInfo, experiment: ExperimentInfo, checkpoints: Sequence[CheckpointInfo]) -> Table:
    """Everything known about a run, a fact a line; what does not apply is left out."""
    f, r, e = run.facts, run.result, experiment.facts
    facts: dict[str, object] = {
        "run": run.id,
        "key": f.key,
        "experiment": f"{e.name} ({e.kind}, id {experiment.id})",
        "status": r.status,
        "error": r.error,
        "final loss": None if r.final_loss is None else _loss(r.final_loss),
        "first bad step": r.first_bad_step,
        "held-out loss": None if r.heldout_loss is None else _loss(r.heldout_loss),
        "held-out accuracy": None if r.heldout_accuracy is None else f"{r.heldout_accuracy:.2%}",
        "optimizer": f.optimizer,
        "learning rate": None
        if f.lr is None
        else f"{format_rate(f.lr)} ({_LR_SOURCES.get(f.lr_source, '?')})",
        "phase": f.phase,
        "optimizee": f.optimizee,
        "dataset": f.dataset,
        "depth": f.depth,
        "activation": f.activation,
        "horizon": f"{f.horizon:,} steps",
        "seed": f.seed,
        "device": f"{f.device}, {f.dtype}, {f.threads} thread{'' if f.threads == 1 else 's'}",
        "node": r.node,
        "started": run.started_utc,
        "time": None if r.elapsed_s is None else f"{r.elapsed_s:.3g} s",
        "peak memory": None if r.peak_bytes is None else f"{r.peak_bytes / 2**20:,.1f} MiB",
        "commit": e.git_sha,
        "versions": ", ".join(f"{name} {number}" for name, number in experiment.versions.items()),
        "checkpoints": "\n".join(f"{c.meta_step:,}  {c.path}" for c in checkpoints) or None,
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value is not None:
            table.add_row(name, safe_text(str(value), keep_newlines=True))
    return table


def curves_table(curves: Mapping[str, Curve]) -> Table:
    """One line per metric: its course, first and last value."""
    table = _new_table()
    for name in ("metric", "steps", "first", "", "last"):
        table.add_column(name, justify="right" if name in ("steps", "first") else "left", no_wrap=True)
    for metric, (steps, values) in curves.items():
        line = sparkline(values, 32)
        table.add_row(
            safe_text(metric), f"{len(steps):,}", _loss(float(values[0])), line, _loss(float(values[-1]))
        )
    return table


def _loss(value: float | None) -> str:
    return "NaN" if value is not None and math.isnan(value) else format_loss(value)


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0]


def run_json(info: RunInfo) -> str:
    """A run on one line of JSON: its id, its facts and its result; numbers that are not finite are null."""
    facts = {name: value for name, value in vars(info.facts).items() if name != "config_json"}
    values = {"id": info.id, **facts, **vars(info.result), "started_utc": info.started_utc}
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
    return json.dumps(plain, allow_nan=False)
