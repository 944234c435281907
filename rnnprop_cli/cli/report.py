"""`rnnprop report`: the judgement of a benchmark, as tables, for programs, as a page, as figures."""

import io
import os
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnprop_cli.cli import completion, console
from rnnprop_cli.errors import UsageError, suggested
from rnnprop_cli.naming import shell_word
from rnnprop_cli.view.safe_text import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rnnprop_cli.records import ExperimentInfo, Status
    from rnnprop_cli.runs.report import Reported
    from rnnprop_cli.store.reader import Curve, Reader
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
    LATEX = "latex"


def report(
    ctx: typer.Context,
    benches: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BENCH",
            help="Names or ids of benchmarks (default: the one used last).",
            autocompletion=completion.benches,
        ),
    ] = None,
    output_format: Annotated[
        ReportFormat,
        typer.Option(
            "--format",
            "-f",
            help="table and html are for reading, latex for papers, csv and json for programs.",
        ),
    ] = ReportFormat.TABLE,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option("--plots", metavar="DIR", help="Also write the figures there, as PNG and SVG."),
    ] = None,
) -> None:
    """Show benchmarks: every optimizer on every problem, against the best tuned baseline.

    Several databases (`--db` more than once) are shown as one: the same cell once, the copy that got furthest.
    """
    from rnnprop_cli.files.writing import check_output, write_whole
    from rnnprop_cli.runs.report import read_report
    from rnnprop_cli.store.several import open_readers, tell_conflicts

    if plots is not None:
        _require_matplotlib()
    shared = console.settings(ctx)
    if output_format is ReportFormat.HTML and len(benches or ()) > 1:
        raise UsageError("-f html makes one page of one benchmark; name one")
    if output is not None:
        for database in shared.databases:
            check_output(output, database=database, replace=True)
    lines: list[str] = []
    with open_readers(shared.databases) as reader:
        lines += tell_conflicts(reader)
        drawn = plots is not None or output_format is ReportFormat.HTML
        reports = [
            (found, _figures(reader, found) if drawn else [])
            for found in (
                [read_report(reader, bench) for bench in benches] if benches else [read_report(reader)]
            )
        ]
    if output is None and output_format is ReportFormat.TABLE:
        from rnnprop_cli.cli.report_tables import print_tables

        for found, _ in reports:
            if len(reports) > 1:
                console.stdout().print(safe_text(found.summary.bench), style="bold underline")
            print_tables(console.stdout(), found.summary)
    else:
        text = _as_text(output_format, reports)
        if output is None:
            typer.echo(text, nl=False)
        else:
            write_whole(output, text, database=shared.databases[0], replace=True)
    lines += [] if output is None else [f"wrote {shell_word(str(output))}"]
    if plots is not None:
        from rnnprop_cli.view.figures.plots.files import write_plots

        for found, figures in reports:
            folder = plots / found.summary.bench if len(reports) > 1 else plots
            written = write_plots(figures, folder, shared.databases[0])
            lines.append(f"wrote {len(figures)} figures to {shell_word(str(folder))}, {len(written)} files")
    if not shared.quiet:
        if not benches:
            lines.insert(0, f"{safe_text(reports[0][0].summary.bench)}: the benchmark used last")
        for found, _ in reports:
            statuses = Counter(run.result.status for run in found.runs)
            lines += _what_is_missing(found.experiment, found.summary, statuses)
        for line in lines:
            console.stderr().print(line, soft_wrap=True)


def _figures(reader: "Reader", found: "Reported") -> "list[Figure]":
    from rnnprop_cli.records import LOSS
    from rnnprop_cli.view.figures.loss_figures import loss_figures
    from rnnprop_cli.view.figures.summary_figures import summary_figures

    def load_curves(run_ids: "Sequence[int]") -> "dict[int, Curve]":
        return reader.curves(run_ids, LOSS)

    return loss_figures(found.summary, load_curves) + summary_figures(found.summary)


def _require_matplotlib() -> None:
    """Loads it as it comes: whatever a notebook's MPLBACKEND says, files are drawn."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise UsageError("--plots needs matplotlib, which is not installed: pip install 'rnnprop[plots]'")
    os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib  # noqa: F401
    except Exception as error:  # a matplotlibrc that cannot be read
        raise UsageError(f"--plots: matplotlib does not load: {error}") from error


def _as_text(output_format: ReportFormat, reports: "list[tuple[Reported, list[Figure]]]") -> str:
    summaries = [found.summary for found, _ in reports]
    match output_format:
        case ReportFormat.TABLE:
            return "\n".join(map(_plain_table, summaries))
        case ReportFormat.MARKDOWN:
            from rnnprop_cli.view.formats.markdown import to_markdown

            return "\n".join(map(to_markdown, summaries))
        case ReportFormat.LATEX:
            from rnnprop_cli.view.formats.latex import to_latex

            return "\n".join(map(to_latex, summaries))
        case ReportFormat.HTML:
            from rnnprop_cli.view.facts.experiment_facts import experiment_facts
            from rnnprop_cli.view.formats.html_page import to_html

            ((found, figures),) = reports
            facts = experiment_facts(found.experiment, found.runs)
            return to_html(found.summary, facts, found.experiment.facts.spec_toml, figures)
        case ReportFormat.CSV | ReportFormat.JSON:
            from rnnprop_cli.view.formats.records import to_csv, to_json
            from rnnprop_cli.view.table.seed_groups import Summary

            names = ", ".join(summary.bench for summary in summaries)
            every = Summary(names, tuple(group for summary in summaries for group in summary.groups))
            return to_csv(every) if output_format is ReportFormat.CSV else to_json(every)


def _plain_table(summary: "Summary") -> str:
    from rich.console import Console

    from rnnprop_cli.cli.report_tables import print_tables

    file = io.StringIO()
    plain = Console(
        file=file, width=_FILE_WIDTH, color_system=None, markup=False, emoji=False, highlight=False
    )
    print_tables(plain, summary)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _what_is_missing(
    experiment: "ExperimentInfo", summary: "Summary", statuses: "Counter[Status]"
) -> list[str]:
    """Lines that say how incomplete the benchmark is; none if it is complete."""
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
    from rnnprop_cli.view.facts.progress import stored_bench

    spec = stored_bench(experiment)
    if spec is None:
        return 0, 0  # of an earlier version: what is recorded can still be shown
    measured = {
        (row.problem, row.optimizer) for row in summary.rows if row.phase == "final" and row.counts.seeds
    }
    wanted = {
        (
            (o.dataset_label, lane.problem.horizon, o.label, o.n_layers, o.nonlinearity),
            lane.optimizer.name,
        )
        for lane in lanes(spec)
        for o in [lane.problem.optimizee]
    }
    return len(wanted - measured), len(wanted)
