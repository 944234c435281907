"""Reads the tables of `docs/reproduction.md`, so that other pages can quote them and nothing else."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

BEST: Final = "best tuned"  # the column of the best tuned baseline, which stands in the cell by its name
TABLE: Final = re.compile(
    r"<!-- table (?P<bench>[\w.-]+)(?: / [^:\n]+)?: (?P<columns>.*?) -->\n(?P<body>.*?)<!-- end -->",
    re.DOTALL,
)
NUMBER: Final = re.compile(
    r"(?P<bold>\*\*)?(?P<mean>\d+\.(?P<digits>\d+)) ±(?P<half>[\d.]+)(?:\*\*)?(?: (?P<name>[a-z][a-z -]*?))?"
    r"(?= @| \(|,|;|$)"
)
ALL_AT_CHANCE: Final = re.compile(r"\b(\d+) of \1 at chance")

Verdict = Literal["wins", "loses", "neither", "baseline"]


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: as it stands there.
        bold: whether it is set off.
        mean: None where there is no number.
        half: half of the 95 % interval.
        rounding: how far off a printed number may be.
        name: of the baseline, in the column of the best tuned one.
    """

    text: str
    bold: bool = False
    mean: float | None = None
    half: float = 0.0
    rounding: float = 0.0
    name: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a table: one problem."""

    bench: str
    title: str
    cells: dict[str, Cell]

    @property
    def steps(self) -> int:
        """Its horizon."""
        found = re.search(r"([\d,]+) steps", self.title)
        return int(found[1].replace(",", "")) if found else 0

    @property
    def rival(self) -> tuple[str, Cell]:
        """What others are held against: the best tuned baseline, in a table without that column tuned Adam."""
        cell = self.cells.get(BEST)
        return (cell.name, cell) if cell is not None else ("adam", self.cells["adam"])

    @property
    def learns(self) -> bool:
        """Whether any optimizer of the line gets off chance."""
        return not all(ALL_AT_CHANCE.search(cell.text) for cell in self.cells.values())

    def verdict(self, column: str) -> Verdict:
        """What the line says of an optimizer.

        Bold is a win by the paired interval. A loss is only called so where no pairing could undo it: the half of a
        paired interval is at most the sum of both halves, and the means are further apart than that.
        """
        own, (name, rival) = self.cells[column], self.rival
        if name == column:
            return "baseline"
        if own.bold:
            return "wins"
        if own.mean is None or rival.mean is None:
            return "neither"
        slack = 2 * (own.rounding + rival.rounding)
        return "loses" if own.mean - rival.mean > own.half + rival.half + slack else "neither"


def read_lines(page: str) -> list[Line]:
    """Every line of every table, each once.

    Args:
        page: the text of `docs/reproduction.md`.
    """
    lines: dict[tuple[str, str, tuple[str, ...]], Line] = {}
    for match in TABLE.finditer(page):
        columns = [column.strip() for column in match["columns"].split(",")]
        for title, *texts in _rows(match["body"]):
            cells = {column: _cell(text) for column, text in zip(columns, texts, strict=True) if text}
            lines.setdefault((match["bench"], title, tuple(columns)), Line(match["bench"], title, cells))
    return list(lines.values())


def lines_of(lines: Sequence[Line], column: str) -> list[Line]:
    """Those that have a cell of an optimizer, each problem of a benchmark once."""
    found: dict[tuple[str, str], Line] = {}
    for line in lines:
        if column in line.cells:
            found.setdefault((line.bench, line.title), line)
    return list(found.values())


def recorded_weights(page: str) -> dict[str, str]:
    """The weights that the tables were measured with: name → beginning of the SHA-256 of their numbers."""
    (body,) = re.findall(r"<!-- weights -->\n(.*?)<!-- end -->", page, flags=re.DOTALL)
    return {
        row[0].strip("`"): next(value for value in row if re.fullmatch(r"`[0-9a-f]{12}`", value)).strip("`")
        for row in _rows(body)
    }


def _rows(table: str) -> Iterator[list[str]]:
    rows = [line for line in table.splitlines() if line.startswith("|")]
    for line in rows[2:]:  # behind the header and its rule
        yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def _cell(text: str) -> Cell:
    match = NUMBER.match(text)
    if match is None:
        return Cell(text)
    return Cell(
        text=text,
        bold=match["bold"] is not None,
        mean=float(match["mean"]),
        half=float(match["half"]),
        rounding=0.5 * 10 ** -len(match["digits"]),
        name=match["name"] or "",
    )
