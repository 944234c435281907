"""The tables that `rnnprop report` prints, as wide as the terminal allows."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from rnnprop_cli.view.formats.export import DISPENSABLE, LEGEND, WIDE_LEGEND, cells, used_columns
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.table.problem_groups import IN_DISTRIBUTION
from rnnprop_cli.view.table.profiles import FACTORS, profiles
from rnnprop_cli.view.table.remarks import remarks
from rnnprop_cli.view.table.rows import Problem, Summary, SummaryRow
from rnnprop_cli.view.table.verdicts import chance_sentence, leads

_LEFT = ("optimizer", "failures")
_GAP = 2  # blanks between two columns
_LABEL_CHARACTERS = 20  # of an optimizer's name that no column is given up for; a longer one is folded


def print_tables(out: Console, summary: Summary) -> None:
    """A table for each problem, how often each optimizer is near the best, and how to read it all."""
    explained = set()
    group = None
    for problem, rows in summary.problems:
        if rows[0].group != group:
            group = rows[0].group
            out.print(group if group == IN_DISTRIBUTION else f"changed: {group}", style="italic")
        out.print(_heading(problem, rows), style="bold")
        table = problem_table(rows, out.width)
        explained |= {str(column.header) for column in table.columns}
        out.print(table)
        for sentence in remarks(rows):
            out.print(safe_text(sentence), style="dim")
        out.print()
    for title, table in _profile_tables(summary):
        out.print(title, style="bold")
        out.print(table)
        out.print()
    for note in summary.notes:
        out.print(safe_text(note), style="dim")
    if chance := chance_sentence(summary.rows):
        out.print(chance, style="dim")
    if summary.rows:
        out.print(LEGEND, style="dim")
    if explained & {"median", "IQM", "to target", "memory"}:
        out.print(WIDE_LEGEND, style="dim")


def _heading(problem: Problem, rows: Sequence[SummaryRow]) -> str:
    seeds = {row.planned for row in rows}
    return safe_text(problem.title + (f" · {seeds.pop()} seeds" if len(seeds) == 1 else ""))


def problem_table(rows: Sequence[SummaryRow], width: int) -> Table:
    """The rows of one problem with as many columns as fit."""
    shown = [cells(row) for row in rows]
    # Where every row was planned alike, the heading says it and the failures say what is lacking.
    hidden = ["seeds"] if len({row.planned for row in rows}) == 1 else []
    columns = used_columns(shown, hidden)
    for name in DISPENSABLE:
        if sum(_width(name, shown) + _GAP for name in columns) - _GAP <= width:
            break
        columns = [column for column in columns if column != name]
    table = _new_table(columns)
    for row, values in zip(rows, shown, strict=True):
        table.add_row(*(values[name] for name in columns), style="bold" if leads(row, rows) else None)
    return table


def _width(name: str, shown: Sequence[dict[str, str]]) -> int:
    widest = max(cell_len(text) for text in (name, *(values[name] for values in shown)))
    return min(widest, _LABEL_CHARACTERS) if name == "optimizer" else widest


def _new_table(columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name in columns:
        table.add_column(
            name,
            justify="left" if name in _LEFT else "right",
            no_wrap=name != "optimizer",  # the one column that gives way
            overflow="fold",
            min_width=8 if name == "optimizer" else None,
        )
    return table


def _profile_tables(summary: Summary) -> Iterator[tuple[str, Table]]:
    for group, found in groupby(profiles(summary.rows), lambda one: one.group):
        members = list(found)
        count = len(members[0].ratios)
        table = _new_table(["optimizer", *(f"{factor:g}x" for factor in FACTORS)])
        for one in members:
            shares = (f"{one.share_within(factor):.0%}" for factor in FACTORS)
            table.add_row(safe_text(one.optimizer), *shares)
        yield f"{group}: share of {count} within a factor of the best", table
