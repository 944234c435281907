"""Layers above a screen: a question with keys for its answers, and a list to choose from."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from rnnprop_cli.tui.host import host_of
from rnnprop_cli.tui.keys import CLOSE, CLOSE_READ, bindings
from rnnprop_cli.tui.plot import Charset
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.lines import Line, Lines
from rnnprop_cli.tui.widgets.table import Column, Row, Table, look_of
from rnnprop_cli.view.safe_text import safe_text

_CSS = """
    align: center middle;
    & #box { border: heavy $border; background: $surface; padding: 0 1; height: auto; max-height: 95%; max-width: 96%; }
    &.-ascii #box { border: ascii $border; }
"""


class Layer(ModalScreen[Any]):
    """Closes with escape, and with q where nothing is typed."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(CLOSE)
    TITLE_TEXT = ""

    def action_close(self) -> None:
        self.dismiss(None)

    def on_mount(self) -> None:
        if host_of(self).charset is Charset.ASCII:
            self.add_class("-ascii")


class Ask(Layer):
    """A question; each choice is a key, a word and what it answers. Everything else cancels."""

    DEFAULT_CSS = f"Ask {{ {_CSS} & #box {{ width: 76; }} & #text {{ height: auto; }} }}"

    def __init__(self, title: str, text: Sequence[Line], choices: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self._title, self._lines, self._choices = title, list(text), list(choices)

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(safe_text(self._title))
            lines = Lines(id="text")
            lines.styles.height = len(self._lines) + len(self._choices) + 3
            lines.show(lambda columns, rows: self._text())
            yield lines

    def _text(self) -> list[Line]:
        palette = look_of(self).palette
        choices: list[Line] = [
            [Part(f"  {key:<4}", palette.accent, bold=True), Part(word)] for key, word, _ in self._choices
        ]
        cancel: Line = [Part("  esc ", palette.accent, bold=True), Part("cancel")]
        return [[], *self._lines, [], *choices, cancel]

    def on_key(self, event: events.Key) -> None:
        for key, _, answer in self._choices:
            if event.key == key or event.character == key:
                event.stop()
                self.dismiss(answer)
                return


class Choose(Layer):
    """A table to choose a row from; with an input line if a path may be typed instead."""

    DEFAULT_CSS = f"""
    Choose {{ {_CSS}
        & #box {{ width: 96; height: 80%; }}
        & Input {{ height: 1; border: none; padding: 0 1; background: $panel; }}
    }}
    """

    def __init__(
        self,
        title: str,
        columns: Sequence[Column],
        rows: Sequence[Row],
        *,
        placeholder: str | None = None,
        selected: Hashable | None = None,
        about: Callable[[Hashable | None], list[Line]] | None = None,
    ) -> None:
        super().__init__()
        self._title, self._columns, self._rows = title, columns, rows
        self._placeholder, self._selected, self._about = placeholder, selected, about

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(safe_text(self._title))
            box.border_subtitle = Content("enter chooses, esc cancels")
            yield Table(id="choices")
            if self._about is not None:
                about = Lines(id="about")
                about.styles.height = 3
                yield about
            if self._placeholder is not None:
                yield Input(placeholder=self._placeholder, id="path", compact=True)

    def on_mount(self) -> None:
        super().on_mount()
        table = self.query_one(Table)
        table.empty_text = "nothing to choose from"
        table.set_rows(self._columns, self._rows)
        if self._selected is not None:
            table.move_to(self._selected)
        table.focus()
        self._tell(table.cursor_key)

    def _tell(self, key: Hashable | None) -> None:
        if self._about is not None:
            self.query_one("#about", Lines).show_lines(self._about(key))

    @on(Table.Moved)
    def _moved(self, event: Table.Moved) -> None:
        if isinstance(event, Table.Opened):
            self.dismiss(event.key)
        else:
            self._tell(event.key)

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self.dismiss(event.value.strip())


class Read(Layer):
    """Text to read, and perhaps a table below it."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(CLOSE_READ)
    DEFAULT_CSS = f"Read {{ {_CSS} & #box {{ width: 100; height: 90%; }} }}"

    def __init__(
        self,
        title: str,
        build: Callable[[int, int], list[Line]],
        table: tuple[Sequence[Column], Sequence[Row]] | None = None,
        *,
        text_rows: int = 0,
    ) -> None:
        super().__init__()
        self._title, self._build, self._table, self._text_rows = title, build, table, text_rows

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(safe_text(self._title))
            box.border_subtitle = Content("esc closes")
            lines = Lines(id="text", can_focus=self._table is None)
            lines.show(self._build)
            if self._text_rows:
                lines.styles.height = self._text_rows
            yield lines
            if self._table is not None:
                yield Table(id="rows")

    def on_mount(self) -> None:
        super().on_mount()
        if self._table is not None:
            table = self.query_one(Table)
            table.set_rows(*self._table)
            table.focus()
        else:
            self.query_one("#text").focus()
