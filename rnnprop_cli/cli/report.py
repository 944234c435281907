"""`rnnprop report`: the table of a benchmark."""

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from rnnprop_cli.cli import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rnnprop_cli.records import ExperimentInfo, Status
    from rnnprop_cli.view.summary import Problem, Summary, SummaryRow

_WIDE = 100  # columns from which there is room for more than the essentials


class ReportFormat(StrEnum):
    """How the rows are written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


def report(
    ctx: typer.Context,
    bench: Annotated[str, typer.Argument(metavar="BENCH", help="Name or id of a benchmark.")],
    output_format: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="table is for reading, the others for programs.")
    ] = ReportFormat.TABLE,
) -> None:
    """Show a benchmark: every optimizer on every problem, against the best tuned baseline."""
    from rnnprop_cli.store.reader import Reader
    from rnnprop_cli.view import export
    from rnnprop_cli.view.summary import REPORTED_PHASES, summarize

    shared = console.settings(ctx)
    with Reader.open(shared.db) as reader:
        experiment = reader.find_experiment(bench, kind="bench")
        summary = summarize(experiment, reader.runs(experiment.id, phases=REPORTED_PHASES))
        statuses = Counter(reader.keys_with_status(experiment.id).values())
    if output_format is ReportFormat.TABLE:
        _print_tables(console.stdout(), summary)
    else:
        to_text = {
            ReportFormat.MARKDOWN: export.to_markdown,
            ReportFormat.CSV: export.to_csv,
            ReportFormat.JSON: export.to_json,
        }[output_format]
        typer.echo(to_text(summary), nl=False)
    if not shared.quiet:
        for line in _what_is_missing(experiment, summary, statuses):
            console.stderr().print(line, soft_wrap=True)


def _print_tables(out: "Console", summary: "Summary") -> None:
    from rnnprop_cli.view.export import LEGEND

    for problem, rows in summary.problems:
        out.print(_heading(problem, rows), style="bold")
        out.print(_table(rows, out.width))
        out.print()
    if summary.rows:
        out.print(LEGEND, style="dim")


def _heading(problem: "Problem", rows: "list[SummaryRow]") -> str:
    from rnnprop_cli.view.safe_text import safe_text

    seeds = {row.planned for row in rows}
    suffix = f" · {seeds.pop()} seeds" if len(seeds) == 1 else ""
    return safe_text(problem.title + suffix)


def _table(rows: "list[SummaryRow]", width: int) -> "Table":
    from rich import box
    from rich.table import Table

    from rnnprop_cli.view.export import cells, used_columns

    shown = [cells(row) for row in rows]
    # Where every row was planned alike, the heading says it and the failures say what is lacking.
    hidden = ["seeds"] if len({row.planned for row in rows}) == 1 else []
    hidden += ["test acc"] if width < _WIDE else []
    columns = used_columns(shown, hidden)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name in columns:
        table.add_column(
            name,
            justify="left" if name in ("optimizer", "failures") else "right",
            no_wrap=name != "optimizer",  # the one column that gives way
            overflow="fold",
            min_width=8 if name == "optimizer" else None,
        )
    for row, values in zip(rows, shown, strict=True):
        table.add_row(*(values[name] for name in columns), style="bold" if row.rank == 1 else None)
    return table


def _what_is_missing(
    experiment: "ExperimentInfo", summary: "Summary", statuses: "Counter[Status]"
) -> list[str]:
    """Lines that say how incomplete the benchmark is; none if it is complete."""
    from rnnprop_cli.view.safe_text import safe_text

    lines = []
    name = safe_text(experiment.facts.name)
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
            f"{name}: {statuses['failed']} cells failed; `rnnprop runs list {name} --status failed` says why, "
            "`rnnprop bench --retry-failed` tries again."
        )
    return lines


def _unmeasured(experiment: "ExperimentInfo", summary: "Summary") -> tuple[int, int]:
    """How many pairs of problem and optimizer that the spec asks for have no final result, and how many it has."""
    import json

    from pydantic import ValidationError

    from rnnprop_cli.plan.lanes import lanes
    from rnnprop_cli.spec.bench import BenchSpec
    from rnnprop_cli.spec.optimizees import activation_of, dataset_of, depth_of

    try:
        spec = BenchSpec.model_validate_json(json.dumps(json.loads(experiment.facts.spec_json)["spec"]))
    except (ValidationError, ValueError, KeyError, TypeError):
        return 0, 0  # of an earlier version: what is recorded can still be shown
    measured = {(row.problem, row.optimizer) for row in summary.rows if row.phase == "final" and row.seeds}
    wanted = {
        (
            (dataset_of(o), lane.problem.horizon, o.label, depth_of(o), activation_of(o)),
            lane.optimizer.name,
        )
        for lane in lanes(spec)
        for o in [lane.problem.optimizee]
    }
    return len(wanted - measured), len(wanted)
