"""A table that draws only the rows in view: thousands of runs cost no more than a dozen."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from rnnprop_cli.tui.keys import OPEN, ROWS, bindings
from rnnprop_cli.tui.themes import LOOKS, Look
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.shorten import shorten


@dataclass(frozen=True)
class Cell:
    """Text with colours as ``#rrggbb``; None is the table's own."""

    text: str
    color: str | None = None
    ground: str | None = None
    bold: bool = False


@dataclass(frozen=True)
class Column:
    """Width 0 takes what the others leave."""

    title: str
    width: int = 0
    right: bool = False
    least: int = 0  # of a column without a width: others go before it has less
    priority: int | None = None  # the lowest goes first; None: it stays
    names: bool = False  # what is too long is cut in the middle: names differ at their ends


@dataclass(frozen=True)
class Row:
    """A row; a heading spans the table with its first cell and cannot be chosen."""

    key: Hashable
    cells: tuple[Cell | str, ...]
    is_heading: bool = False


class Table(Widget, can_focus=True):
    """Rows under a line of titles, with a cursor that stays on its row whatever happens to the others."""

    DEFAULT_CSS = """
    Table {
        border: round $border-blurred; width: 1fr; height: 1fr;
        &:focus { border: heavy $border; }
        &.-ascii { border: ascii $border-blurred; }
        &.-ascii:focus { border: ascii $border; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(ROWS, OPEN)

    empty_text: reactive[str] = reactive("")

    class Resized(Message):
        """The room has changed, and with it what rows can show."""

        def __init__(self, table: "Table") -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> "Table":
            return self.table

    class Moved(Message):
        """The cursor stands on another row, or on none (``key`` is None)."""

        def __init__(self, table: "Table", key: Hashable | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> "Table":
            return self.table

    class Opened(Moved):
        """Enter, or a second click."""

    def __init__(self, *, id: str | None = None, show_titles: bool = True) -> None:
        super().__init__(id=id)
        self._columns: tuple[Column, ...] = ()
        self._rows: tuple[Row, ...] = ()
        self._cursor: int | None = None
        self._top = 0
        self._show_titles = show_titles

    # What is shown

    def set_rows(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        """Show these; the cursor keeps to its row, or its place if that is gone."""
        before = self.cursor_key
        self._columns, self._rows = tuple(columns), tuple(rows)
        index = next((i for i, row in enumerate(rows) if row.key == before and not row.is_heading), None)
        self._cursor = self._nearest(self._cursor or 0) if index is None else index
        self._scroll_to_cursor()
        self.refresh()
        if self.cursor_key != before:
            self.post_message(self.Moved(self, self.cursor_key))

    @property
    def rows(self) -> tuple[Row, ...]:
        return self._rows

    @property
    def cursor_key(self) -> Hashable | None:
        """The key of the row under the cursor."""
        return None if self._cursor is None else self._rows[self._cursor].key

    def move_to(self, key: Hashable) -> None:
        """Put the cursor on the row of that key, if it is there."""
        for index, row in enumerate(self._rows):
            if row.key == key and not row.is_heading:
                self._go(index)

    # Keys and mouse

    def action_move(self, rows: int) -> None:
        if self._cursor is not None:
            target = self._nearest(self._cursor + rows, 1 if rows > 0 else -1)
            self._go(self._cursor if target is None else target)
            if target is not None and rows < 0 and all(row.is_heading for row in self._rows[:target]):
                self._top = 0

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(self._page_rows - 1, 1))

    def action_end(self, direction: int) -> None:
        if self._rows:
            self._go(self._nearest(0 if direction < 0 else len(self._rows) - 1))
            if direction < 0:
                self._top = 0

    def action_open(self) -> None:
        if self.cursor_key is not None:
            self.post_message(self.Opened(self, self.cursor_key))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = self._top + offset.y - self._title_rows
        if offset.y >= self._title_rows and index < len(self._rows) and not self._rows[index].is_heading:
            if index == self._cursor:
                self.action_open()
            else:
                self._go(index)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll(event, 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll(event, -3)

    def _scroll(self, event: events.MouseEvent, rows: int) -> None:
        event.stop()
        self._top = min(max(self._top + rows, 0), max(len(self._rows) - self._page_rows, 0))
        self.refresh()

    def on_resize(self) -> None:
        self._scroll_to_cursor()
        self.refresh()
        self.post_message(self.Resized(self))

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.refresh())

    @property
    def _title_rows(self) -> int:
        return int(self._show_titles)

    @property
    def _page_rows(self) -> int:
        return max(self.size.height - self._title_rows, 1)

    def _go(self, index: int | None) -> None:
        if index != self._cursor:
            self._cursor = index
            self.post_message(self.Moved(self, self.cursor_key))
        self._scroll_to_cursor()
        self.refresh()

    def _scroll_to_cursor(self) -> None:
        if self._cursor is not None:
            above = self._cursor
            if above and self._rows[above - 1].is_heading:
                above -= 1  # what the first row of a section belongs to is seen too
            self._top = min(self._top, above)
            self._top = max(self._top, self._cursor - self._page_rows + 1)
        self._top = min(self._top, max(len(self._rows) - self._page_rows, 0))

    def _nearest(self, index: int, direction: int = 1) -> int | None:
        """The row at ``index``, or the next one that is no heading, first in that direction."""
        count = len(self._rows)
        if not count:
            return None
        index = min(max(index, 0), count - 1)
        ahead = range(index, count) if direction > 0 else range(index, -1, -1)
        back = range(index, -1, -1) if direction > 0 else range(index, count)
        return next((i for span in (ahead, back) for i in span if not self._rows[i].is_heading), None)

    # Rendering

    def render_line(self, y: int) -> Strip:
        """One line of the table."""
        look = look_of(self)
        palette = look.palette
        width = self.size.width
        if self._show_titles and y == 0:
            cells = [Cell(column.title, palette.muted) for column in self._columns]
            return self._strip(cells, width, palette.text, palette.ground)
        index = self._top + y - self._title_rows
        if index >= len(self._rows):
            text = self.empty_text if not self._rows and y == self._title_rows else ""
            return _segments([Cell(text, palette.muted)], [width], palette.text, palette.ground, gap=0)
        row = self._rows[index]
        cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in row.cells]
        if row.is_heading:
            title = Cell(shorten(safe_text(cells[0].text), width), bold=cells[0].bold)
            return _segments([title], [width], palette.text, look.heading, gap=0)
        chosen = index == self._cursor
        ground = look.cursor if chosen else palette.ground
        return self._strip(cells, width, palette.text, ground, reverse=chosen and self.app.no_color)

    def _strip(
        self, cells: Sequence[Cell], width: int, color: str, ground: str, *, reverse: bool = False
    ) -> Strip:
        shown = fitting_columns(self._columns, width)
        widths = column_widths(shown, width)
        beside = [cell for cell, column in zip(cells, self._columns, strict=False) if column in shown]
        fitted = [
            Cell(_fit(cell.text, size, column), cell.color, cell.ground, cell.bold)
            for cell, size, column in zip(beside, widths, shown, strict=False)
        ]
        return _segments(fitted, widths, color, ground, gap=1, total=width, reverse=reverse)


def fitting_columns(columns: Sequence[Column], total: int) -> list[Column]:
    """The columns without those that must go so that the others have the least that they need."""
    shown = list(columns)
    while spare := [column for column in shown if column.priority is not None]:
        widths = column_widths(shown, total)
        if all(width >= column.least for column, width in zip(shown, widths, strict=True)):
            break
        first = min(spare, key=lambda column: column.priority or 0)
        shown = [column for column in shown if column is not first]
    return shown


def column_widths(columns: Sequence[Column], total: int) -> list[int]:
    """Widths with one blank between columns; those without a width share what is left."""
    fixed = sum(column.width for column in columns) + max(len(columns) - 1, 0)
    flexible = sum(not column.width for column in columns)
    share, extra = divmod(max(total - fixed, 0), flexible) if flexible else (0, 0)
    widths = []
    for column in columns:
        widths.append(column.width or share + (extra > 0))
        extra -= not column.width
    return widths


def look_of(widget: Widget) -> Look:
    """The colours in use."""
    return LOOKS.get(widget.app.theme) or LOOKS["dark" if widget.app.current_theme.dark else "light"]


def _fit(text: str, width: int, column: Column) -> str:
    text = safe_text(text)
    text = shorten(text, width) if column.names else shorten(text, width, tail=0)
    length = cell_len(text)
    return " " * (width - length) + text if column.right else text + " " * (width - length)


def _segments(
    cells: Sequence[Cell],
    widths: Sequence[int],
    color: str,
    ground: str,
    *,
    gap: int,
    total: int | None = None,
    reverse: bool = False,
) -> Strip:
    """Fitted cells side by side. Every segment has both colours, or NO_COLOR would crash Textual's filter."""
    plain = Style(color=color, bgcolor=ground, reverse=reverse)
    segments: list[Segment] = []
    for number, (cell, width) in enumerate(zip(cells, widths, strict=False)):
        if number and gap:
            segments.append(Segment(" " * gap, plain))
        style = Style(
            color=cell.color or color, bgcolor=cell.ground or ground, bold=cell.bold, reverse=reverse
        )
        segments.append(Segment(set_cell_size(safe_text(cell.text), width), style))
    strip = Strip(segments)
    wanted = sum(widths) if total is None else total
    return strip.adjust_cell_length(wanted, plain)
