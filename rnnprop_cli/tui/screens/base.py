"""What every screen has: a header with the tabs, a body, a filter line, a footer with the keys."""

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from rnnprop_cli.tui import keys
from rnnprop_cli.tui.host import Host, host_of
from rnnprop_cli.tui.plot import Charset
from rnnprop_cli.tui.reading import Wanted
from rnnprop_cli.tui.screens.header import header_parts
from rnnprop_cli.tui.state import ViewState
from rnnprop_cli.tui.themes import Glyphs, Look, glyphs
from rnnprop_cli.tui.widgets.bars import Bar, Part
from rnnprop_cli.tui.widgets.lines import Line, Lines, wrapped
from rnnprop_cli.tui.widgets.table import look_of

_BAND_COLUMNS, _BAND_ROWS = 70, 18


class BaseScreen(Screen[None]):
    """One of the tabs. Subclasses fill the body and say what they need read."""

    TAB: ClassVar[str] = ""
    KEYS: ClassVar[tuple[keys.Key, ...]] = ()  # for the footer, the most useful first
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (56, "-narrow"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (14, "-short"), (36, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(*keys.ON_A_SCREEN)

    DEFAULT_CSS = """
    BaseScreen {
        & #notice { display: none; }
        & #misread { display: none; }
        &.-filtering.-misread #misread { display: block; }
        & #filter { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
        &.-filtering #filter { display: block; }
        &.-filtering #footer { display: none; }
        &.-empty #body { display: none; }
        &.-empty #notice { display: block; }
    }
    """

    def compose(self) -> ComposeResult:
        yield Bar(id="header")
        yield Lines(id="notice", centred=True)
        with Container(id="body"):
            yield from self.compose_body()
        yield Bar(id="misread")
        yield Input(id="filter", placeholder="filter: regex  !not  depth:>2  status:diverged", compact=True)
        yield Bar(id="footer")

    def compose_body(self) -> Iterable[Widget]:
        """The widgets of the body."""
        return ()

    @property
    def host(self) -> Host:
        """The app."""
        return host_of(self)

    @property
    def state(self) -> ViewState:
        return self.host.state

    @property
    def signs(self) -> Glyphs:
        return glyphs(self.host.charset)

    @property
    def has_room_for_bands(self) -> bool:
        """Whether a band over seeds leaves its line to be seen."""
        return self.size.width >= _BAND_COLUMNS and self.size.height >= _BAND_ROWS

    @property
    def look(self) -> Look:
        return look_of(self)

    # Showing

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.show_state())
        if self.host.charset is Charset.ASCII:
            for widget in self.query("Table, HeatTable, Lines"):
                widget.add_class("-ascii")

    def on_screen_resume(self) -> None:
        self.show_state()

    def on_resize(self) -> None:
        self.call_after_refresh(self.show_state)

    def wanted(self) -> Wanted:
        """What this screen needs from the store."""
        state = self.state
        return Wanted(state.bench_id, state.train_id, frozenset(self.wanted_groups()), state.style)

    def wanted_groups(self) -> Iterable[int]:
        """Groups whose curves this screen draws."""
        return ()

    def show_state(self) -> None:
        """Bring everything up to date with the state."""
        if not self.is_mounted or not self.is_attached:
            return
        notice = self.notice()
        self.set_class(bool(notice), "-empty")
        if notice:
            self.query_one("#notice", Lines).show_lines(notice)
        parts = header_parts(
            self.state, self.TAB, self.look, self.signs, self.size.width, colorless=self.app.no_color
        )
        self.query_one("#header", Bar).set_parts(*parts)
        self.query_one("#footer", Bar).set_parts(self._footer_parts())
        self.set_class(bool(self.state.filter.problem), "-misread")
        self.query_one("#misread", Bar).set_parts([Part(f" {self.state.filter.problem}", self.look.warn)])
        if not notice:
            self.show_body()
        self.host.want(self.wanted())

    def show_body(self) -> None:
        """Bring the body up to date."""

    def notice(self) -> list[Line]:
        """What to say instead of the body; nothing if there is something to show."""
        state, columns = self.state, max(self.size.width - 4, 20)
        title = [Part("rnnprop", self.look.palette.accent, bold=True)]
        if state.unavailable is not None and not state.loaded:
            return [title, [], *wrapped(state.unavailable, columns), [], *self._what_to_run()]
        if not state.loaded:
            return [title, [], [Part("reading ...")]]
        if not state.snapshot.experiments:
            return [title, [], [Part("The database holds no runs yet.")], [], *self._what_to_run()]
        return self.nothing_here()

    def nothing_here(self) -> list[Line]:
        """What to say where this screen in particular has nothing to show."""
        return []

    def _what_to_run(self) -> list[Line]:
        muted = self.look.palette.muted
        return [
            [Part("In another terminal:", muted)],
            [Part("rnnprop bench --spec quickstart", bold=True)],
            [Part("rnnprop train --spec train_quick", bold=True)],
            [],
            [Part("or press  r  to start one from here;  q  quits. This screen fills by itself.", muted)],
        ]

    def _footer_parts(self) -> list[Part]:
        palette, state = self.look.palette, self.state
        parts = [Part(" ")]
        if state.filter.text:
            problem = f" ({state.filter.problem})" if state.filter.problem else ""
            parts.append(Part(f"/{state.filter.text}{problem}  ", palette.accent))
        if note := self.host.works.note:
            parts.append(Part(f"{note}  ", self.look.busy))
        room = (
            self.size.width - _width(parts) - len(f"{' '.join(keys.QUIT.in_line)}  ")
        )  # the way out is always shown
        shown = []
        for key, word in (each.in_line for each in (keys.HELP, *self.KEYS, keys.PALETTE)):
            room -= len(key) + len(word) + 3
            if room < 0:
                break
            shown.append((key, word))
        for key, word in (*shown, keys.QUIT.in_line):
            parts += [Part(key, palette.accent, bold=True), Part(f" {word}  ", palette.text)]
        return parts

    # Filter

    def action_filter(self) -> None:
        box = self.query_one("#filter", Input)
        box.value = self.state.filter.text
        self.add_class("-filtering")
        box.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        if self.has_class("-filtering") and event.value != self.state.filter.text:
            self.state.set_filter(event.value)
            self.show_state()

    @on(Input.Submitted, "#filter")
    def _filter_entered(self) -> None:
        self._close_filter()

    def _close_filter(self) -> None:
        self.remove_class("-filtering")
        self.focus_body()
        self.show_state()

    def focus_body(self) -> None:
        """Give the focus back to the body."""
        self.set_focus(None)
        self.focus_next()

    def action_back(self) -> None:
        """One layer back: the filter line, the full-screen pane, the filter."""
        if self.has_class("-filtering"):
            self.state.set_filter("")
            self._close_filter()
        elif self.has_class("-full"):
            self.action_full()
        elif self.state.filter.text:
            self.state.set_filter("")
            self.show_state()

    def action_full(self) -> None:
        """Give the focused pane the whole body, or take that back."""
        if self.has_class("-full"):
            self.remove_class("-full")
            for widget in self.query(".-hidden"):
                widget.remove_class("-hidden")
            return
        body = self.query_one("#body")
        pane = self.focused
        if pane is None or body not in pane.ancestors:
            return
        self.add_class("-full")
        inside: Any = pane
        while inside is not body:
            for sibling in inside.parent.children:
                if sibling is not inside:
                    sibling.add_class("-hidden")
            inside = inside.parent

    def copy_text(self) -> str:
        """What ctrl+o copies."""
        return ""


def _width(parts: Iterable[Part]) -> int:
    return sum(cell_len(part.text) for part in parts)
