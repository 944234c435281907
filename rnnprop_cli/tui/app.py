"""The app: owns the state, the watcher and the child process; screens show the one and steer the others."""

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from rnnprop_cli.tui.messages import StoreRead, StoreUnavailable
from rnnprop_cli.tui.plot import Charset
from rnnprop_cli.tui.reading import Wanted
from rnnprop_cli.tui.screens.base import BaseScreen
from rnnprop_cli.tui.screens.runs import RunsScreen
from rnnprop_cli.tui.state import ViewState
from rnnprop_cli.tui.themes import LOOKS, THEME_NAMES, textual_theme
from rnnprop_cli.tui.watch import StoreWatcher
from rnnprop_cli.tui.widgets.bars import Bar
from rnnprop_cli.view.safe_text import safe_text

DEFAULT_FPS = 3.0


class RnnpropApp(App[None]):
    """`rnnprop tui`."""

    TITLE = "rnnprop"
    ENABLE_COMMAND_PALETTE = True
    MODES: ClassVar[dict[str, type[Screen[None]]]] = {"runs": RunsScreen}  # type: ignore[assignment]
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"show_tab('{tab}')", show=False)
            for number, tab in enumerate(("runs", "matrix", "compare", "log", "spec", "train"), 1)
        ),
        Binding("q", "quit", "quit", show=False),
        Binding("ctrl+q", "quit", "quit", show=False, priority=True),
        Binding("t", "next_theme", "theme", show=False),
        Binding("ctrl+o", "copy", "copy", show=False),
    ]

    def __init__(
        self,
        database: Path,
        *,
        fps: float = DEFAULT_FPS,
        charset: Charset = Charset.BRAILLE,
        theme: str = "dark",
    ) -> None:
        super().__init__()
        self.database = database
        self.charset = charset
        self.state = ViewState()
        self.child_note = ""
        self._watcher = StoreWatcher(database, self.post_message, min(max(fps, 0.2), 10.0))
        for look in LOOKS.values():
            self.register_theme(textual_theme(look))
        self.theme = theme if theme in LOOKS else "dark"
        self.animation_level = "none"

    def on_mount(self) -> None:
        self.switch_mode("runs")
        self._watcher.start()

    def on_unmount(self) -> None:
        self._watcher.stop()

    def want(self, wanted: Wanted) -> None:
        """Have the watcher read what the screen in front needs."""
        self._watcher.want(wanted)

    # What the watcher says

    @on(StoreRead)
    def _store_read(self, message: StoreRead) -> None:
        self.state.take(message.snapshot)
        self._show()

    @on(StoreUnavailable)
    def _store_unavailable(self, message: StoreUnavailable) -> None:
        self.state.unavailable = message.reason
        if self.state.loaded:
            self.notify(safe_text(message.reason), severity="error", timeout=15, markup=False)
        self._show()

    def _show(self) -> None:
        for screen in reversed(self.screen_stack):
            if isinstance(screen, BaseScreen):
                screen.show_state()
                return

    @on(Bar.Clicked)
    async def _bar_clicked(self, event: Bar.Clicked) -> None:
        await self.run_action(event.action)

    # Keys

    def action_show_tab(self, tab: str) -> None:
        if tab in self.MODES and self.current_mode != tab:
            self.switch_mode(tab)

    def action_next_theme(self) -> None:
        at = THEME_NAMES.index(self.theme) if self.theme in THEME_NAMES else -1
        self.theme = THEME_NAMES[(at + 1) % len(THEME_NAMES)]

    def action_copy(self) -> None:
        screen = self.screen
        text = screen.copy_text() if isinstance(screen, BaseScreen) else ""
        if text:
            self.copy_to_clipboard(safe_text(text, keep_newlines=True))
            self.notify("copied")

    def open_group(self, group_id: int) -> None:
        """Show everything about a group."""
