"""The app: owns the state, the watcher and the child process; screens show the one and steer the others."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.screen import Screen
from textual.timer import Timer

from rnnprop_cli.errors import RunError
from rnnprop_cli.tui import keys
from rnnprop_cli.tui.export_files import curves_csv, lines_csv, table_csv, write_new
from rnnprop_cli.tui.help_text import help_lines
from rnnprop_cli.tui.host import Severity
from rnnprop_cli.tui.messages import StoreRead, StoreUnavailable
from rnnprop_cli.tui.plot import Charset
from rnnprop_cli.tui.reading import Wanted
from rnnprop_cli.tui.screens.ask import Ask, Choose, Read
from rnnprop_cli.tui.screens.base import BaseScreen
from rnnprop_cli.tui.screens.compare import CompareScreen
from rnnprop_cli.tui.screens.group import group_layer
from rnnprop_cli.tui.screens.log import LogScreen
from rnnprop_cli.tui.screens.matrix import MatrixScreen
from rnnprop_cli.tui.screens.runs import RunsScreen
from rnnprop_cli.tui.screens.spec import SpecScreen
from rnnprop_cli.tui.screens.train import TrainScreen
from rnnprop_cli.tui.state import ViewState
from rnnprop_cli.tui.themes import LOOKS, THEME_NAMES, glyphs, textual_theme
from rnnprop_cli.tui.watch import StoreWatcher
from rnnprop_cli.tui.widgets.bars import Bar
from rnnprop_cli.tui.widgets.table import Cell, Column, Row, look_of
from rnnprop_cli.tui.work import Work
from rnnprop_cli.view.safe_text import safe_text

DEFAULT_FPS = 3.0
_NAME_COLUMNS = 28  # of an experiment, before anything beside it goes


class RnnpropApp(App[None]):
    """`rnnprop tui`."""

    TITLE = "rnnprop"
    MODES = {  # noqa: RUF012
        "runs": RunsScreen,
        "matrix": MatrixScreen,
        "compare": CompareScreen,
        "log": LogScreen,
        "spec": SpecScreen,
        "train": TrainScreen,
    }
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(*keys.EVERYWHERE)

    def __init__(
        self,
        database: Path,
        *,
        more: Sequence[Path] = (),
        fps: float = DEFAULT_FPS,
        charset: Charset = Charset.BRAILLE,
        theme: str = "dark",
    ) -> None:
        super().__init__()
        self.database = database
        self.charset = charset
        self.state = ViewState()
        self.works = Work(self)
        self._ends_soon = False
        self._watcher = StoreWatcher((database, *more), self.post_message, min(max(fps, 0.2), 10.0))
        for look in LOOKS.values():
            self.register_theme(textual_theme(look))
        self.theme = theme if theme in LOOKS else "dark"
        self.animation_level = "none"

    def on_mount(self) -> None:
        self.switch_mode("runs")
        self._watcher.start()

    def on_unmount(self) -> None:
        self._watcher.stop()
        self.works.close()

    # What screens and the child process ask of their host

    def want(self, wanted: Wanted) -> None:
        """Have the watcher read what the screen in front needs."""
        self._watcher.want(wanted)

    def show_tab(self, tab: str) -> None:
        """Bring a screen to the front, once whatever lies over the one there has gone."""
        self.call_after_refresh(self.action_show_tab, tab)

    def ask(self, question: Screen[Any], answered: Callable[[Any], None]) -> None:
        """Lay a question over the screen; `answered` gets None where it is cancelled."""
        self.push_screen(question, answered)

    def tell(self, text: str, severity: Severity = "information", timeout: float | None = None) -> None:
        """Say something in passing; the text may hold anything."""
        self.notify(safe_text(text), severity=severity, timeout=timeout, markup=False)

    def every(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call something again and again."""
        return self.set_interval(seconds, call)

    def end(self) -> None:
        """End the app."""
        self.exit()

    def end_soon(self) -> None:
        """End as soon as what it is doing is done; may be called from a signal handler, at any time."""
        self._ends_soon = True
        if self._loop is None:  # not begun
            self.exit()
        else:
            self._loop.call_soon_threadsafe(self.exit)

    def _handle_exception(self, error: Exception) -> None:
        """What Textual calls for every exception. A screen that was being made when the app was told to end never gets
        its widgets, and fails over that: nobody's fault, and nothing to show."""
        if not self._ends_soon:
            super()._handle_exception(error)

    # What the watcher says

    @on(StoreRead)
    def _store_read(self, message: StoreRead) -> None:
        first = self.state.front is None
        self.state.take(message.snapshot)
        if first and self.state.front == "train":
            self.switch_mode("train")
        self.show_front()

    @on(StoreUnavailable)
    def _store_unavailable(self, message: StoreUnavailable) -> None:
        self.state.unavailable = message.reason
        if self.state.loaded:
            self.tell(message.reason, "error", timeout=15)
        self.show_front()

    def show_front(self) -> None:
        """Bring the screen in front up to date, also one that a layer lies over."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, BaseScreen):
                screen.show_state()
                return

    @on(Bar.Clicked)
    async def _bar_clicked(self, event: Bar.Clicked) -> None:
        await self.run_action(event.action)

    # Screens and experiments

    def action_show_tab(self, tab: str) -> None:
        if isinstance(self.screen, BaseScreen) and self.current_mode != tab:
            kind = {"runs": "bench", "matrix": "bench", "compare": "bench", "train": "train"}.get(tab)
            if kind == "bench" and self.state.bench is not None:
                self.state.front = "bench"
            elif kind == "train" and self.state.snapshot.training is not None:
                self.state.front = "train"
            self.switch_mode(tab)

    def action_choose_experiment(self) -> None:
        snapshot, look, signs = self.state.snapshot, look_of(self.screen), glyphs(self.charset)
        rows = []
        for experiment in reversed(snapshot.experiments):
            counts = snapshot.counts.get(experiment.id, Counter())
            tally = "  ".join(f"{signs.statuses[status]} {count}" for status, count in counts.items())
            created = experiment.created_utc.replace("T", " ").removesuffix("Z")
            facts = experiment.facts
            rows.append(
                Row(
                    experiment.id,
                    (facts.kind, Cell(facts.name, bold=True), tally, Cell(created, look.palette.muted)),
                )
            )
        tallies = max((cell_len(str(row.cells[2])) for row in rows), default=0)
        columns = [
            Column("", 5, priority=3),
            Column("experiment", least=_NAME_COLUMNS, names=True),
            Column("runs", max(tallies, len("runs")), priority=2),
            Column("created", 19, priority=1),
        ]
        here = self.state.experiment
        self.push_screen(
            Choose("experiments", columns, rows, selected=here.id if here else None),
            lambda chosen: self._go_to(chosen if isinstance(chosen, int) else None),
        )

    def action_neighbour(self, step: int) -> None:
        every, here = self.state.snapshot.experiments, self.state.experiment
        if here is not None and isinstance(self.screen, BaseScreen):
            at = next(index for index, each in enumerate(every) if each.id == here.id)
            self._go_to(every[(at + step) % len(every)].id)

    def _go_to(self, experiment_id: int | None) -> None:
        experiment = self.state.snapshot.experiment(experiment_id)
        if experiment is None:
            return
        self.state.look_at(experiment)
        if experiment.facts.kind == "train" and self.current_mode in ("runs", "matrix", "compare"):
            self.switch_mode("train")
        elif experiment.facts.kind == "bench" and self.current_mode == "train":
            self.switch_mode("runs")
        self.show_front()

    def open_group(self, group_id: int) -> None:
        """Show everything about a group."""
        bench = self.state.bench
        group = None if bench is None else bench.group(group_id)
        if bench is not None and group is not None:
            self.push_screen(
                group_layer(self.state.snapshot, bench, group, look_of(self.screen), glyphs(self.charset))
            )

    # Other keys

    async def action_quit(self) -> None:
        if not isinstance(self.screen, BaseScreen) and self.works.is_running:
            return  # a question is open already
        self.works.quit()

    def action_help(self) -> None:
        palette = look_of(self.screen).palette
        self.push_screen(Read("keys", lambda columns, rows: help_lines(palette, columns)))

    def action_next_theme(self) -> None:
        at = THEME_NAMES.index(self.theme) if self.theme in THEME_NAMES else -1
        self.theme = THEME_NAMES[(at + 1) % len(THEME_NAMES)]

    def action_copy(self) -> None:
        screen = self.screen
        text = screen.copy_text() if isinstance(screen, BaseScreen) else ""
        if text:
            self.copy_to_clipboard(safe_text(text, keep_newlines=True))
            self.tell("copied")

    def action_start(self) -> None:
        self.works.start()

    def action_interrupt(self) -> None:
        self.works.interrupt()

    def action_export(self) -> None:
        choices = [
            ("t", "table as CSV", "table"),
            ("c", "curves that are drawn, as CSV", "curves"),
            ("s", "this screen as SVG", "screen"),
        ]
        self.push_screen(Ask("export to the current folder", [], choices), self._export)

    def _export(self, what: object) -> None:
        if what is not None:
            # After the question has left the screen, so that an SVG does not show it.
            self.call_after_refresh(self._write, str(what))

    def _write(self, what: str) -> None:
        state, screen = self.state, self.screen
        experiment = state.experiment
        name = f"{experiment.facts.name if experiment else 'rnnprop'}-{what}"
        training = state.snapshot.training
        try:
            if what == "screen":
                path = write_new(Path.cwd(), name, "svg", self.export_screenshot(title="rnnprop"))
            elif state.front == "train" and training is not None:
                path = write_new(Path.cwd(), name, "csv", curves_csv(training.curves))
            elif state.bench is None:
                raise RunError("there is nothing to export yet")
            elif what == "table":
                listed = [group for _, groups in state.sections() for group in groups]
                path = write_new(Path.cwd(), name, "csv", table_csv(listed))
            else:
                wanted = set(screen.wanted_groups()) if isinstance(screen, BaseScreen) else set()
                drawn = [group for group in state.bench.groups if group.id in wanted]
                path = write_new(Path.cwd(), name, "csv", lines_csv(drawn, state.snapshot.lines))
        except RunError as error:
            self.tell(str(error), "error")
            return
        self.tell(f"wrote {path}")

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What ctrl+p offers."""
        for number, tab in enumerate(keys.TABS, 1):
            yield SystemCommand(
                f"Show {tab.capitalize()}", f"Key {number}", lambda tab=tab: self.action_show_tab(tab)
            )
        for name in THEME_NAMES:
            yield SystemCommand(f"Theme {name}", "Colours", lambda name=name: setattr(self, "theme", name))
        for experiment in reversed(self.state.snapshot.experiments):
            title = safe_text(f"Open {experiment.facts.kind} {experiment.facts.name}")
            number = experiment.id
            yield SystemCommand(title, f"Experiment {number}", lambda number=number: self._go_to(number))
        yield SystemCommand("Start a bench or train", "Key r", self.action_start)
        yield SystemCommand("Interrupt what was started here", "Key i", self.action_interrupt)
        yield SystemCommand("Export", "CSV or SVG; key e", self.action_export)
        yield SystemCommand("Keys", "Key ?", self.action_help)
        yield SystemCommand("Quit", "Key q", self.works.quit)
