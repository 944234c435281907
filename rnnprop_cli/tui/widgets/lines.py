"""Lines of coloured text, made anew for whatever size there is."""

import textwrap
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.strip import Strip
from textual.widget import Widget

from rnnprop_cli.tui.keys import ROWS, bindings
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.table import look_of
from rnnprop_cli.view.safe_text import safe_text

Line = Sequence[Part]
Build = Callable[[int, int], Sequence[Line]]  # (columns, rows) -> lines


class Lines(Widget):
    """Shows what a function makes of the space there is; more lines than rows scroll."""

    DEFAULT_CSS = """
    Lines {
        width: 1fr; height: 1fr;
        &.boxed { border: round $border-blurred; }
        &.boxed:focus { border: heavy $border; }
        &.-ascii.boxed { border: ascii $border-blurred; }
        &.-ascii.boxed:focus { border: ascii $border; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(ROWS)

    def __init__(
        self,
        *,
        id: str | None = None,
        classes: str | None = None,
        can_focus: bool = False,
        centred: bool = False,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.can_focus = can_focus
        self._centred = centred
        self._build: Build = lambda columns, rows: ()
        self._lines: Sequence[Line] | None = None
        self._top = 0

    def show(self, build: Build) -> None:
        """Show what ``build(columns, rows)`` returns, now and at every other size."""
        self._build = build
        self._lines = None
        self.refresh()

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Show these."""
        self.show(lambda columns, rows: lines)

    @property
    def text(self) -> str:
        """What it says, for copying."""
        return "\n".join("".join(part.text for part in line).rstrip() for line in self._made())

    def on_resize(self) -> None:
        self._lines = None
        self.refresh()

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.show(self._build))

    def action_move(self, lines: int) -> None:
        self._top = min(max(self._top + lines, 0), max(len(self._made()) - self.size.height, 0))
        self.refresh()

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(self.size.height - 1, 1))

    def action_end(self, direction: int) -> None:
        self.action_move(direction * len(self._made()))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.action_move(-3)

    def _made(self) -> Sequence[Line]:
        if self._lines is None:
            self._lines = self._build(self.size.width, self.size.height)
            self._top = min(self._top, max(len(self._lines) - self.size.height, 0))
        return self._lines

    def render_line(self, y: int) -> Strip:
        """One row. Every segment has both colours, or NO_COLOR would crash Textual's filter."""
        palette = look_of(self).palette
        plain = Style(color=palette.text, bgcolor=palette.ground)
        lines = self._made()
        above = max((self.size.height - len(lines)) // 2, 0) if self._centred else 0
        index = self._top + y - above
        segments = [
            Segment(
                safe_text(part.text),
                Style(
                    color=part.color or palette.text, bgcolor=part.ground or palette.ground, bold=part.bold
                ),
            )
            for part in (lines[index] if 0 <= index < len(lines) else ())
        ]
        strip = Strip(segments)
        if self._centred and segments:
            left = max((self.size.width - strip.cell_length) // 2, 0)
            strip = Strip([Segment(" " * left, plain), *strip])
        return strip.adjust_cell_length(self.size.width, plain)


def wrapped(text: str, columns: int, *, color: str | None = None, indent: str = "") -> list[Line]:
    """Text broken into lines of at most that many columns; its own line ends stay."""
    lines: list[Line] = []
    for paragraph in safe_text(text, keep_newlines=True).split("\n"):
        pieces = textwrap.wrap(paragraph, max(columns - len(indent), 8)) or [""]
        lines += [[Part(indent + piece, color)] for piece in pieces]
    return lines
