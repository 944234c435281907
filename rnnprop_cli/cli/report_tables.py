"""The tables that `rnnprop report` prints, as wide as the terminal allows."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.table.columns import OPTIMIZER, SEEDS, Align, Column, legend, narrower, used_columns
from rnnprop_cli.view.table.problem_groups import IN_DISTRIBUTION
from rnnprop_cli.view.table.profiles import FACTORS, profiles
from rnnprop_cli.view.table.remarks import remarks
from rnnprop_cli.view.table.rows import Problem, SummaryRow
from rnnprop_cli.view.table.seed_groups import Summary
from rnnprop_cli.view.table.verdicts import chance_sentence, leads

_GAP = 2  # blanks between two columns
_LABEL_CHARACTERS = 20  # of an optimizer's name that no column is given up for; a longer one is folded


def print_tables(out: Console, summary: Summary) -> None:
    """A table for each problem, how often each optimizer is near the best, and how to read it all."""
    explained: set[Column] = set()
    group = None
    for problem, rows in summary.problems:
        if rows[0].group != group:
            group = rows[0].group
            out.print(group if group == IN_DISTRIBUTION else f"changed: {group}", style="italic")
        out.print(_heading(problem, rows), style="bold")
        columns = fitting_columns(rows, out.width)
        explained |= {*columns}
        out.print(problem_table(rows, columns))
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
        out.print(legend(explained), style="dim")


def _heading(problem: Problem, rows: Sequence[SummaryRow]) -> str:
    seeds = {row.counts.planned for row in rows}
    return safe_text(problem.title + (f" · {seeds.pop()} seeds" if len(seeds) == 1 else ""))


def fitting_columns(rows: Sequence[SummaryRow], width: int) -> list[Column]:
    """As many columns as fit."""
    # Where every row was planned alike, the heading says it and the failures say what is lacking.
    hidden = [SEEDS] if len({row.counts.planned for row in rows}) == 1 else []
    columns = used_columns(rows, hidden)
    while sum(_width(column, rows) + _GAP for column in columns) - _GAP > width:
        fewer = narrower(columns)
        if fewer is None:
            break
        columns = fewer
    return columns


def problem_table(rows: Sequence[SummaryRow], columns: Sequence[Column]) -> Table:
    """The rows of one problem."""
    table = _new_table([(column.heading, column.align) for column in columns])
    for row in rows:
        table.add_row(*(column.text(row) for column in columns), style="bold" if leads(row, rows) else None)
    return table


def _width(column: Column, rows: Sequence[SummaryRow]) -> int:
    widest = max(cell_len(text) for text in (column.heading, *map(column.text, rows)))
    return min(widest, _LABEL_CHARACTERS) if column is OPTIMIZER else widest


def _new_table(heads: Sequence[tuple[str, Align]]) -> Table:
    """A table, of which the column of the optimizers gives way where there is little room."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name, align in heads:
        folds = name == OPTIMIZER.heading
        table.add_column(
            name, justify=align, no_wrap=not folds, overflow="fold", min_width=8 if folds else None
        )
    return table


def _profile_tables(summary: Summary) -> Iterator[tuple[str, Table]]:
    for group, found in groupby(profiles(summary.rows), lambda one: one.group):
        members = list(found)
        count = len(members[0].ratios)
        heads: list[tuple[str, Align]] = [(f"{factor:g}x", "right") for factor in FACTORS]
        table = _new_table([(OPTIMIZER.heading, OPTIMIZER.align), *heads])
        for one in members:
            shares = (f"{one.share_within(factor):.0%}" for factor in FACTORS)
            table.add_row(safe_text(one.optimizer), *shares)
        yield f"{group}: share of {count} within a factor of the best", table
