"""What the tables of `docs/reproduction.md` say of an optimizer, and of a horizon."""

from collections.abc import Iterable, Sequence
from typing import Final

from reproduction import BEST, Line, lines_of
from sources import table

HEADINGS: Final = {
    "wins": "Where it wins",
    "loses": "Where it loses",
    "baseline": "Where it is the best tuned baseline",
    "neither": "Where it does not win",
}
EXPLAINED: Final = {
    "wins": "By a 95 % interval of the difference paired by seed that excludes zero.",
    "loses": "The means are further apart than both intervals together.",
    "baseline": "Others are compared with it there. **Bold**: all others of the line lose to it.",
    "neither": "Here the table shows neither a win nor, for certain, a loss: compare the intervals.",
}
NOTHING: Final = {
    "wins": "Nowhere in these tables. A win is one over the best tuned baseline.",
    "loses": "Nowhere in these tables, as far as they show it.",
}


def record(lines: Sequence[Line], columns: Iterable[str]) -> str:
    """Wins, losses and the rest, of all columns that belong to an optimizer; empty if no line has any."""
    columns = sorted(columns)
    if not columns:
        return ""
    parts = []
    for verdict, heading in HEADINGS.items():
        rows = [
            (line.title, column, line.cells[column].text, f"{line.rival[0]}: {_number(line)}")
            for column in columns
            for line in lines_of(lines, column)
            if line.verdict(column) == verdict
        ]
        rows += [
            (line.title, column, line.cells[BEST].text.replace(f" {column}", "", 1), "")
            for column in columns
            for line in lines
            if verdict == "baseline" and column not in line.cells and line.rival[0] == column
        ]
        rows = list(dict.fromkeys(rows))
        if rows:
            header = ("problem", "row", "final loss", "best tuned baseline")
            if verdict == "baseline":
                header, rows = header[:3], [row[:3] for row in rows]
            shown = table(header, rows)
            parts.append(f"### {heading}\n\n{EXPLAINED[verdict]}\n\n{shown}")
        elif verdict in NOTHING:
            parts.append(f"### {heading}\n\n{NOTHING[verdict]}\n")
    return "\n".join(parts)


def columns_of(lines: Sequence[Line], kinds: dict[str, str], kind: str) -> set[str]:
    """The columns, and best tuned baselines, that are of an optimizer.

    Args:
        lines: of the tables.
        kinds: what a label begins with → the kind of optimizer.
        kind: of the optimizer.
    """
    labels = {label for line in lines for label in (*line.cells, line.rival[0])} - {BEST}
    return {label for label in labels if kinds.get(label.split(" ", 1)[0]) == kind}


def horizons(lines: Sequence[Line]) -> str:
    """For every horizon and problem: who wins over the best tuned baseline."""
    parts = []
    for steps in sorted({line.steps for line in lines}):
        rows = [
            (line.title, _winners(line), f"{line.rival[0]} {_number(line)}")
            for line in lines
            if line.steps == steps
        ]
        header = ("problem", "wins over the best tuned baseline", "best tuned baseline")
        parts.append(f"## {steps:,} steps\n\n{table(header, list(dict.fromkeys(rows)))}")
    return "\n".join(parts)


def _winners(line: Line) -> str:
    if not line.learns:
        return "nobody: nothing learns"
    winners = [column for column in line.cells if column != BEST and line.verdict(column) == "wins"]
    winners.sort(key=lambda column: line.cells[column].mean or 0)
    if not winners and line.rival[1].bold:
        return "nobody: all others of the table lose to it"
    rivals = [column for column in line.cells if column not in (BEST, line.rival[0])]
    told = ", ".join(f"{column} {_short(line.cells[column].text)}" for column in winners)
    return told or f"nobody of {', '.join(rivals)}"


def _number(line: Line) -> str:
    name, cell = line.rival
    return _short(cell.text.replace(f" {name}", "", 1))


def _short(text: str) -> str:
    """A cell without the paper's number."""
    return text.split(" (paper")[0].replace("**", "")
