"""`rnnprop report`: the judgement of a benchmark, as tables, for programs, as a page, as figures."""

import io
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnprop_cli.cli import console
from rnnprop_cli.errors import UsageError, suggested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rnnprop_cli.records import ExperimentInfo, RunInfo, Status
    from rnnprop_cli.store.reader import Curve
    from rnnprop_cli.view.figures.figure import Figure
    from rnnprop_cli.view.table.seed_groups import Summary

_FILE_WIDTH = 160  # columns of a table that goes to a file


class ReportFormat(StrEnum):
    """How the rows are written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    HTML = "html"


def report(
    ctx: typer.Context,
    bench: Annotated[str, typer.Argument(metavar="BENCH", help="Name or id of a benchmark.")],
    output_format: Annotated[
        ReportFormat,
        typer.Option("--format", "-f", help="table and html are for reading, csv and json for programs."),
    ] = ReportFormat.TABLE,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option("--plots", metavar="DIR", help="Also write the figures there, as PNG and SVG."),
    ] = None,
) -> None:
    """Show a benchmark: every optimizer on every problem, against the best tuned baseline."""
    from rnnprop_cli.files.writing import check_output, write_whole
    from rnnprop_cli.records import LOSS
    from rnnprop_cli.runs.report import read_report
    from rnnprop_cli.store.reader import Reader
    from rnnprop_cli.view.figures.loss_figures import loss_figures
    from rnnprop_cli.view.figures.summary_figures import summary_figures

    if plots is not None:
        _require_matplotlib()
    shared = console.settings(ctx)
    if output is not None:
        check_output(output, database=shared.db, replace=True)
    with Reader.open(shared.db) as reader:
        found = read_report(reader, bench)
        experiment, runs, summary = found.experiment, found.runs, found.summary

        def load_curves(run_ids: "Sequence[int]") -> "dict[int, Curve]":
            return reader.curves(run_ids, LOSS)

        figures: list[Figure] = []
        if plots is not None or output_format is ReportFormat.HTML:
            figures = loss_figures(summary, load_curves) + summary_figures(summary)
    if output is None and output_format is ReportFormat.TABLE:
        from rnnprop_cli.cli.report_tables import print_tables

        print_tables(console.stdout(), summary)
    else:
        text = _as_text(output_format, experiment, runs, summary, figures)
        if output is None:
            typer.echo(text, nl=False)
        else:
            write_whole(output, text, database=shared.db, replace=True)
    lines = [] if output is None else [f"wrote {output}"]
    if plots is not None:
        from rnnprop_cli.view.figures.plots.files import write_plots

        written = write_plots(figures, plots, shared.db)
        lines.append(f"wrote {len(figures)} figures to {plots}, {len(written)} files")
    if not shared.quiet:
        statuses = Counter(run.result.status for run in runs)
        for line in lines + _what_is_missing(experiment, summary, statuses):
            console.stderr().print(line, soft_wrap=True)


def _require_matplotlib() -> None:
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise UsageError("--plots needs matplotlib, which is not installed: pip install 'rnnprop[plots]'")


def _as_text(
    output_format: ReportFormat,
    experiment: "ExperimentInfo",
    runs: "list[RunInfo]",
    summary: "Summary",
    figures: "list[Figure]",
) -> str:
    match output_format:
        case ReportFormat.TABLE:
            from rich.console import Console

            from rnnprop_cli.cli.report_tables import print_tables

            file = io.StringIO()
            plain = Console(
                file=file, width=_FILE_WIDTH, color_system=None, markup=False, emoji=False, highlight=False
            )
            print_tables(plain, summary)
            return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
        case ReportFormat.MARKDOWN:
            from rnnprop_cli.view.formats.markdown import to_markdown

            return to_markdown(summary)
        case ReportFormat.HTML:
            from rnnprop_cli.view.facts.experiment_facts import experiment_facts
            from rnnprop_cli.view.formats.html_page import to_html

            return to_html(summary, experiment_facts(experiment, runs), experiment.facts.spec_toml, figures)
        case ReportFormat.CSV | ReportFormat.JSON:
            from rnnprop_cli.view.formats.records import to_csv, to_json

            return to_csv(summary) if output_format is ReportFormat.CSV else to_json(summary)


def _what_is_missing(
    experiment: "ExperimentInfo", summary: "Summary", statuses: "Counter[Status]"
) -> list[str]:
    """Lines that say how incomplete the benchmark is; none if it is complete."""
    from rnnprop_cli.view.safe_text import safe_text

    lines = []
    name = safe_text(experiment.facts.name)
    why = safe_text(suggested("runs", "list", experiment.facts.name, "--status", "failed"))
    waiting: list[Status] = ["queued", "running", "interrupted"]
    missing = {status: statuses[status] for status in waiting if statuses[status]}
    if missing:
        detail = ", ".join(f"{count} {status}" for status, count in missing.items())
        lines.append(f"{name}: {sum(missing.values())} of {statuses.total()} cells are missing ({detail}).")
    unmeasured, pairs = _unmeasured(experiment, summary)
    if unmeasured:
        lines.append(f"{name}: {unmeasured} of {pairs} pairs of problem and optimizer have no result yet.")
    if lines:
        lines.append("`rnnprop bench` with the same spec goes on with what is missing.")
    if statuses["failed"]:
        lines.append(
            f"{name}: {statuses['failed']} cells failed; `{why}` says why, "
            "`rnnprop bench --retry-failed` tries again."
        )
    return lines


def _unmeasured(experiment: "ExperimentInfo", summary: "Summary") -> tuple[int, int]:
    """How many pairs of problem and optimizer that the spec asks for have no final result, and how many it has."""
    from rnnprop_cli.plan.lanes import lanes
    from rnnprop_cli.spec.optimizees import activation_of, dataset_of, depth_of
    from rnnprop_cli.view.facts.progress import stored_bench

    spec = stored_bench(experiment)
    if spec is None:
        return 0, 0  # of an earlier version: what is recorded can still be shown
    measured = {
        (row.problem, row.optimizer) for row in summary.rows if row.phase == "final" and row.counts.seeds
    }
    wanted = {
        (
            (dataset_of(o), lane.problem.horizon, o.label, depth_of(o), activation_of(o)),
            lane.optimizer.name,
        )
        for lane in lanes(spec)
        for o in [lane.problem.optimizee]
    }
    return len(wanted - measured), len(wanted)
