"""`rnnprop runs`: list, show, remove and export what was recorded."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnprop_cli.cli import completion, console
from rnnprop_cli.cli.options import JsonOption
from rnnprop_cli.errors import RunError, UsageError

if TYPE_CHECKING:
    from rnnprop_cli.records import Kind, RunInfo
    from rnnprop_cli.store.reader import Reader

app = typer.Typer(no_args_is_help=True, help="List, show, remove and export runs.")


class StatusChoice(StrEnum):
    """What can have come of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class KindChoice(StrEnum):
    """Kinds of experiments."""

    BENCH = "bench"
    TRAIN = "train"


class CurveFormat(StrEnum):
    """How curves are written."""

    CSV = "csv"
    JSON = "json"


StatusOption = Annotated[
    list[StatusChoice] | None,
    typer.Option("--status", "-s", help="Only runs of this status; may be repeated."),
]
RunsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN",
        help="Ids of runs, or the first characters of keys.",
        autocompletion=completion.runs,
    ),
]
ExperimentOption = Annotated[
    str | None,
    typer.Option(
        "--experiment",
        "-e",
        help="All runs of this experiment (name or id).",
        autocompletion=completion.experiments,
    ),
]


@app.command("list")
def list_runs(
    ctx: typer.Context,
    experiment: Annotated[
        str | None,
        typer.Argument(
            metavar="EXPERIMENT",
            help="Name or id; without it, experiments are listed.",
            autocompletion=completion.experiments,
        ),
    ] = None,
    status: StatusOption = None,
    kind: Annotated[KindChoice | None, typer.Option("--kind", help="Only experiments of this kind.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The newest so many runs.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List experiments, or the runs of one; with --status alone, such runs of all experiments.

    --json gives every run with its facts and its result, one object a line and no limit: the numbers per seed.
    """
    from rnnprop_cli.cli import run_tables
    from rnnprop_cli.store.reader import Reader

    out = console.stdout()
    with Reader.open(console.settings(ctx).db) as reader:
        if experiment is None and not status:
            counts = reader.status_counts()
            out.print(run_tables.experiments_table(reader.experiments(_kind(kind)), counts))
            return
        runs = _select(reader, [], experiment, status, kind)
    if as_json:
        for info in runs:
            out.print(run_tables.run_json(info), soft_wrap=True)
        return
    shown = runs[-limit:]
    out.print(run_tables.runs_table(shown))
    for line in run_tables.error_lines(shown):
        out.print(line, soft_wrap=True)
    if len(shown) < len(runs) and not console.settings(ctx).quiet:
        console.stderr().print(f"the newest {len(shown)} of {len(runs):,} runs; --limit shows more")


@app.command()
def show(
    ctx: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Id of a run, or the first characters of its key.",
            autocompletion=completion.runs,
        ),
    ],
) -> None:
    """Show a run: what it was, what came of it, its curves in miniature."""
    from rnnprop_cli.cli import run_tables
    from rnnprop_cli.store.reader import Reader

    with Reader.open(console.settings(ctx).db) as reader:
        info = reader.find_run(run)
        experiment = reader.experiment(info.experiment_id)
        curves = {metric: reader.curve(info.id, metric) for metric in reader.metrics(info.id)}
        checkpoints = reader.checkpoints(info.id)
    out = console.stdout()
    out.print(run_tables.facts_table(info, experiment, checkpoints))
    if curves:
        out.print()
        out.print(run_tables.curves_table(curves))


@app.command()
def rm(
    ctx: typer.Context,
    runs: RunsArgument = None,
    experiment: ExperimentOption = None,
    status: StatusOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs with their curves for good. Checkpoint files stay on the disk."""
    from rnnprop_cli.store.reader import Reader
    from rnnprop_cli.store.writer import Writer

    shared = console.settings(ctx)
    with Reader.open(shared.db) as reader:
        chosen = _chosen(reader, runs, experiment, status)
    count = _runs(len(chosen))
    if not chosen:
        console.stderr().print("no such run: nothing to remove")
        return
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError(f"this removes {count} for good; add --yes.")
        if not typer.confirm(f"Remove {count} for good?", err=True):
            raise typer.Exit(1)
    with Writer.open(shared.db) as writer:
        kept = writer.delete_runs(chosen)
    if not shared.quiet:
        console.stderr().print(f"removed {_runs(len(chosen) - len(kept))}")
    if kept:
        changed = ", ".join(str(run.id) for run in kept[:5]) + (", ..." if len(kept) > 5 else "")
        raise RunError(
            f"{_runs(len(kept))} changed or went while you were asked, and nothing of that was removed ({changed}). "
            "Look at them again: rnnprop runs list"
        )


@app.command()
def export(
    ctx: typer.Context,
    runs: RunsArgument = None,
    experiment: ExperimentOption = None,
    status: StatusOption = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="Only this metric; may be repeated.")
    ] = None,
    output_format: Annotated[
        CurveFormat, typer.Option("--format", "-f", help="How to write.")
    ] = CurveFormat.CSV,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
) -> None:
    """Write curves: a line per value as CSV, or an object per curve as JSON."""
    from rnnprop_cli.files.writing import check_output, write_whole
    from rnnprop_cli.store.reader import Reader
    from rnnprop_cli.view.formats.curve_export import RunCurve, curves_csv, curves_json

    database = console.settings(ctx).db
    if output is not None:
        check_output(output, database=database)
    with Reader.open(database) as reader:
        chosen = _chosen(reader, runs, experiment, status)
        ids = [run.id for run in chosen]
        names = metric or list(dict.fromkeys(name for run_id in ids for name in reader.metrics(run_id)))
        by_metric = {name: reader.curves(ids, name) for name in names}
    curves = [
        RunCurve(run, name, *by_metric[name][run.id])
        for run in chosen
        for name in names
        if len(by_metric[name][run.id][0])
    ]
    if not curves:
        what = f"of {' or '.join(names)} " if metric else ""
        raise UsageError(f"no curve {what}in the {len(chosen)} chosen runs.")
    parts = curves_csv(curves) if output_format is CurveFormat.CSV else curves_json(curves)
    if output is None:
        for part in parts:
            typer.echo(part, nl=False)
        return
    write_whole(output, parts, database=database)


def _chosen(
    reader: "Reader", runs: list[str] | None, experiment: str | None, status: list[StatusChoice] | None
) -> "list[RunInfo]":
    if not runs and experiment is None:
        raise UsageError("which runs? Name them, or all of an experiment with --experiment NAME.")
    if runs and experiment is not None:
        raise UsageError("either name runs, or all of an experiment with --experiment; not both.")
    return _select(reader, runs or [], experiment, status, None)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"


def _kind(choice: KindChoice | None) -> "Kind | None":
    kinds: dict[KindChoice, Kind] = {KindChoice.BENCH: "bench", KindChoice.TRAIN: "train"}
    return None if choice is None else kinds[choice]


def _select(
    reader: "Reader",
    runs: list[str],
    experiment: str | None,
    status: list[StatusChoice] | None,
    kind: KindChoice | None,
) -> "list[RunInfo]":
    """The runs named, else those of one experiment, else all; of the wanted status."""
    if runs:
        found = list({run.id: run for run in map(reader.find_run, runs)}.values())
    elif experiment is not None:
        found = reader.runs(reader.find_experiment(experiment, _kind(kind)).id)
    else:
        found = [run for each in reader.experiments(_kind(kind)) for run in reader.runs(each.id)]
    return [run for run in found if not status or run.result.status in status]
