"""What screens, widgets and the child process know of the app: a role, not the class. So nothing imports in circles."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from textual.dom import DOMNode
from textual.screen import Screen
from textual.timer import Timer

from rnnprop_cli.tui.plot import Charset
from rnnprop_cli.tui.reading import Wanted
from rnnprop_cli.tui.state import ViewState
from rnnprop_cli.view.facts.log_lines import LogLine

Severity = Literal["information", "warning", "error"]


class Works(Protocol):
    """The child process that the app started, as far as a screen shows it."""

    @property
    def note(self) -> str:
        """For the footer: what runs; empty if nothing does."""

    def log(self) -> list[LogLine]:
        """What it said last, newest first."""


class Host(Protocol):
    """The app."""

    @property
    def database(self) -> Path:
        """What is looked at."""

    @property
    def charset(self) -> Charset:
        """What the terminal's font can show."""

    @property
    def state(self) -> ViewState:
        """The newest snapshot, and what was chosen with keys."""

    @property
    def works(self) -> Works:
        """What was started here."""

    def want(self, wanted: Wanted) -> None:
        """Have the watcher read what the screen in front needs."""

    def show_front(self) -> None:
        """Bring the screen in front up to date."""

    def show_tab(self, tab: str) -> None:
        """Bring a screen to the front, once whatever lies over the one there has gone."""

    def open_group(self, group_id: int) -> None:
        """Show everything about a group."""

    def ask(self, question: Screen[Any], answered: Callable[[Any], None]) -> None:
        """Lay a question over the screen; `answered` gets None where it is cancelled."""

    def tell(self, text: str, severity: Severity = "information", timeout: float | None = None) -> None:
        """Say something in passing; the text may hold anything."""

    def every(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call something again and again."""

    def end(self) -> None:
        """End the app."""


def host_of(node: DOMNode) -> Host:
    """The app that a screen or a widget belongs to."""
    app: Any = node.app
    return app  # type: ignore[no-any-return]
