"""The line at the top (what is looked at, how it stands, the screens) and the one at the bottom (keys)."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from rnnprop_cli.tui.widgets.table import look_of
from rnnprop_cli.view.safe_text import safe_text


@dataclass(frozen=True)
class Part:
    """A piece of a line; ``action`` is what a click does."""

    text: str
    color: str | None = None
    ground: str | None = None
    bold: bool = False
    action: str | None = None


class Bar(Widget):
    """One line made of parts."""

    DEFAULT_CSS = "Bar { height: 1; width: 1fr; }"

    class Clicked(Message):
        """A part with an action was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: tuple[Part, ...] = ()
        self._right: tuple[Part, ...] = ()

    def set_parts(self, left: Sequence[Part], right: Sequence[Part] = ()) -> None:
        """Show these; what does not fit on the left is cut."""
        if (tuple(left), tuple(right)) != (self._left, self._right):
            self._left, self._right = tuple(left), tuple(right)
            self.refresh()

    @property
    def text(self) -> str:
        """What the line says."""
        return "".join(part.text for part in (*self._left, *self._right))

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.refresh())

    def on_click(self, event: events.Click) -> None:
        at = 0
        gap = max(self.size.width - _width(self._left) - _width(self._right), 0)
        for part in (*self._left, Part(" " * gap), *self._right):
            at += cell_len(part.text)
            if event.x < at:
                if part.action:
                    self.post_message(self.Clicked(part.action))
                return

    def render_line(self, y: int) -> Strip:
        """The line."""
        look = look_of(self)
        width = self.size.width
        plain = Style(color=look.palette.text, bgcolor=look.heading)

        def strip(parts: Sequence[Part]) -> Strip:
            return Strip(
                [
                    Segment(
                        safe_text(part.text),
                        Style(
                            color=part.color or look.palette.text,
                            bgcolor=part.ground or look.heading,
                            bold=part.bold,
                            reverse=part.ground is not None and self.app.no_color,
                        ),
                    )
                    for part in parts
                ]
            )

        right = strip(self._right)
        room = max(width - right.cell_length, 0)
        left = strip(self._left).adjust_cell_length(room, plain)
        return Strip.join([left, right]).adjust_cell_length(width, plain)


def _width(parts: Sequence[Part]) -> int:
    return sum(cell_len(part.text) for part in parts)
