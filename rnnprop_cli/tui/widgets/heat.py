"""A heat table with a cursor on one cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from rnnprop_cli.tui.keys import CELLS, OPEN, ROWS, bindings
from rnnprop_cli.tui.widgets.table import Cell, look_of
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.shorten import shorten

_CELL_COLUMNS = 9
_WIDEST_LABEL = 22


@dataclass(frozen=True)
class HeatRow:
    """A label of several words (a repeated word is shown once) and a cell for each column."""

    label: tuple[str, ...]
    cells: tuple[Cell | None, ...]
    bar: "HeatBar | None" = None  # fills what the cells leave


@dataclass(frozen=True)
class HeatBar:
    """A bar and what stands at its end."""

    share: float  # of the room
    text: str
    color: str


class HeatTable(Widget, can_focus=True):
    """Rows and columns of coloured cells; labels stay while the cells scroll."""

    DEFAULT_CSS = """
    HeatTable {
        border: round $border-blurred; width: 1fr; height: 1fr;
        &:focus { border: heavy $border; }
        &.-ascii { border: ascii $border-blurred; }
        &.-ascii:focus { border: ascii $border; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(ROWS, CELLS, OPEN)

    class Moved(Message):
        """The cursor stands on another cell."""

        def __init__(self, row: int, column: int) -> None:
            super().__init__()
            self.row = row
            self.column = column

    class Opened(Moved):
        """Enter, or a second click."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._axes: tuple[str, ...] = ()
        self._columns: tuple[str, ...] = ()
        self._rows: tuple[HeatRow, ...] = ()
        self.cursor = (0, 0)
        self._top = 0
        self._first = 0

    def set_cells(self, axes: Sequence[str], columns: Sequence[str], rows: Sequence[HeatRow]) -> None:
        """Show these."""
        self._axes, self._columns, self._rows = tuple(axes), tuple(columns), tuple(rows)
        self.action_move(0, 0)
        self.refresh()

    def action_move(self, rows: int, columns: int = 0) -> None:
        row = min(max(self.cursor[0] + rows, 0), max(len(self._rows) - 1, 0))
        column = min(max(self.cursor[1] + columns, 0), max(len(self._columns) - 1, 0))
        page, across = max(self.size.height - 1, 1), self._columns_in_view()
        self._top = min(max(self._top, row - page + 1), row)
        self._first = min(max(self._first, column - across + 1), column)
        if (row, column) != self.cursor:
            self.cursor = (row, column)
            self.post_message(self.Moved(row, column))
        self.refresh()

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(self.size.height - 2, 1))

    def action_end(self, direction: int) -> None:
        self.action_move(direction * len(self._rows))

    def action_open(self) -> None:
        self.post_message(self.Opened(*self.cursor))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y < 1:
            return
        row = self._top + offset.y - 1
        column = self._first + (offset.x - sum(self._label_widths()) - len(self._axes)) // _CELL_COLUMNS
        if row < len(self._rows) and 0 <= column < len(self._columns):
            if (row, column) == self.cursor:
                self.action_open()
            self.action_move(row - self.cursor[0], column - self.cursor[1])

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.action_move(3, 0)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.action_move(-3, 0)

    def on_resize(self) -> None:
        self.action_move(0, 0)

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.refresh())

    def _label_widths(self) -> list[int]:
        wanted = [
            max([cell_len(axis), *(cell_len(row.label[at]) for row in self._rows)])
            for at, axis in enumerate(self._axes)
        ]
        room = self.size.width - len(wanted) - _CELL_COLUMNS * len(self._columns)
        return wanted if sum(wanted) <= room else [min(width, _WIDEST_LABEL) for width in wanted]

    def _columns_in_view(self) -> int:
        room = self.size.width - sum(self._label_widths()) - len(self._axes)
        return max(room // _CELL_COLUMNS, 1)

    def render_line(self, y: int) -> Strip:
        """One line. Every segment has both colours, or NO_COLOR would crash Textual's filter."""
        look = look_of(self)
        palette = look.palette
        plain = Style(color=palette.text, bgcolor=palette.ground)
        muted = Style(color=palette.muted, bgcolor=palette.ground)
        strong = Style(color=palette.text, bgcolor=palette.ground, bold=True)
        index = self._top + y - 1
        if index >= len(self._rows):
            return Strip.blank(self.size.width, plain)
        row = None if y == 0 else self._rows[index]
        shown = slice(self._first, self._first + self._columns_in_view())
        segments = []
        for at, width in enumerate(self._label_widths()):
            word = self._axes[at] if row is None else row.label[at]
            if row is not None and y > 1 and self._rows[index - 1].label[: at + 1] == row.label[: at + 1]:
                word = ""
            segments.append(Segment(_fit(word, width) + " ", muted if row is None else plain))
        if row is None:
            segments += [
                Segment(f"{_fit(name, 8):>8} ", strong) for name in map(_right, self._columns[shown])
            ]
            return Strip(segments).adjust_cell_length(self.size.width, plain)
        for number, cell in enumerate(row.cells[shown], self._first):
            here = (index, number) == self.cursor
            found = cell or Cell(".", palette.muted)
            style = Style(
                color=found.color or palette.text,
                bgcolor=found.ground or palette.ground,
                bold=found.bold or here,
                reverse=here and self.app.no_color,
                underline=here,
            )
            edge = Style(color=palette.accent, bgcolor=found.ground or palette.ground, bold=True)
            left, right = ("[", "]") if here else (" ", " ")
            segments += [Segment(left, edge), Segment(f"{_right(found.text)}", style), Segment(right, edge)]
        if row.bar is not None:
            room = self.size.width - sum(segment.cell_length for segment in segments) - 2
            text = safe_text(row.bar.text)
            length = round(max(room - cell_len(text) - 1, 0) * min(max(row.bar.share, 0.0), 1.0))
            segments.append(Segment(" ", plain))
            ink = Style(color=row.bar.color, bgcolor=palette.ground)
            segments.append(Segment(("#" if self.has_class("-ascii") else "▆") * length, ink))
            segments.append(Segment(f" {text}", plain))
        return Strip(segments).adjust_cell_length(self.size.width, plain)


def _right(text: str) -> str:
    text = safe_text(text)
    return " " * max(_CELL_COLUMNS - 2 - cell_len(text), 0) + _fit(
        text, min(cell_len(text), _CELL_COLUMNS - 2)
    )


def _fit(text: str, width: int) -> str:
    text = shorten(safe_text(text), width)
    return text if cell_len(text) == width else set_cell_size(text, width)
