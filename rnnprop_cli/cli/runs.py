"""`rnnprop runs`: list, show, remove and export what was recorded."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnprop_cli.cli import completion, console
from rnnprop_cli.cli.options import JsonOption
from rnnprop_cli.errors import RunError, UsageError
from rnnprop_cli.naming import shell_line, shell_word
from rnnprop_cli.view.safe_text import safe_text

if TYPE_CHECKING:
    from rnnprop_cli.records import Kind, RunInfo
    from rnnprop_cli.store.reader import Reader
    from rnnprop_cli.view.formats.curve_export import RunCurve

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
    PARQUET = "parquet"


class Program(StrEnum):
    """Whose files are written."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"


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
    from rnnprop_cli.store.several import open_readers

    out = console.stdout()
    with open_readers(console.settings(ctx).databases) as reader:
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
    from rnnprop_cli.store.several import open_readers

    with open_readers(console.settings(ctx).databases) as reader:
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
        CurveFormat, typer.Option("--format", "-f", help="How to write; parquet needs --output.")
    ] = CurveFormat.CSV,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
    to: Annotated[
        tuple[Program, Path] | None,
        typer.Option("--to", metavar="PROGRAM DIR", help="A new folder for tensorboard or wandb (offline)."),
    ] = None,
) -> None:
    """Write curves with what they are of: a line per value as CSV or Parquet, or an object per curve as JSON.

    --to tensorboard DIR and --to wandb DIR write what these programs read; nothing is sent anywhere.
    """
    from rnnprop_cli.files.writing import check_output, write_whole
    from rnnprop_cli.runs.curves import read_curves
    from rnnprop_cli.store.several import open_readers, tell_conflicts
    from rnnprop_cli.view.formats.curve_export import curves_csv, curves_json

    shared = console.settings(ctx)
    if to is not None and output is not None:
        raise UsageError("either --to PROGRAM DIR or --output FILE, not both.")
    if output_format is CurveFormat.PARQUET and output is None and to is None:
        raise UsageError("-f parquet is no text: name a file with --output.")
    if output is not None:
        for each in shared.databases:
            check_output(output, database=each)
    with open_readers(shared.databases) as reader:
        for line in [] if shared.quiet else tell_conflicts(reader):
            console.stderr().print(safe_text(line), soft_wrap=True)
        chosen = _chosen(reader, runs, experiment, status)
        curves = read_curves(reader, chosen, metric or ())
    if not curves:
        what = f"of {' or '.join(metric)} " if metric else ""
        raise UsageError(f"no curve {what}in the {len(chosen)} chosen runs.")
    database = shared.databases[0]
    if to is not None:
        _export_to(*to, curves, quiet=shared.quiet)
    elif output_format is CurveFormat.PARQUET:
        from rnnprop_cli.runs.exports.parquet import write_parquet

        assert output is not None
        write_parquet(curves, output, database)
    else:
        parts = curves_csv(curves) if output_format is CurveFormat.CSV else curves_json(curves)
        if output is not None:
            write_whole(output, parts, database=database)
            return
        for part in parts:
            typer.echo(part, nl=False)


def _export_to(program: Program, folder: Path, curves: "list[RunCurve]", *, quiet: bool) -> None:
    if program is Program.TENSORBOARD:
        from rnnprop_cli.runs.exports.tensorboard import write_tensorboard

        count, see = write_tensorboard(curves, folder), shell_line("tensorboard", "--logdir", folder)
    else:
        from rnnprop_cli.runs.exports.wandb import write_wandb

        count, see = write_wandb(curves, folder), f"wandb sync {shell_word(str(folder))}/wandb/offline-run-*"
    if not quiet:
        console.stderr().print(
            f"wrote {_runs(count)} to {shell_word(str(folder))}; next: {see}", soft_wrap=True
        )


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
