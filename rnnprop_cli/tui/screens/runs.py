"""Runs: every optimizer of a benchmark beside its curves, against the best tuned baseline."""

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget

from rnnprop_cli.tui import keys
from rnnprop_cli.tui.keys import Key
from rnnprop_cli.tui.lines import group_label, group_series, plot_notes
from rnnprop_cli.tui.plot import Plot, Reading
from rnnprop_cli.tui.run_rows import run_table
from rnnprop_cli.tui.screens.base import BaseScreen
from rnnprop_cli.tui.state import SORTS
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.detail import detail_lines
from rnnprop_cli.tui.widgets.lines import Line, Lines
from rnnprop_cli.tui.widgets.table import Table
from rnnprop_cli.tui.widgets.values import value_lines
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.table.seed_groups import SeedGroup


class RunsScreen(BaseScreen):
    """Table on the left, curves on the right."""

    TAB = "runs"
    KEYS: ClassVar[tuple[Key, ...]] = (
        *(
            keys.FILTER,
            keys.DRAW,
            keys.OPEN,
            keys.LOG_Y,
            keys.BAND,
            keys.SMOOTH,
            keys.FOLLOW,
            keys.PIN,
            keys.COMPARE,
        ),
        keys.SORT,
        keys.EXPORT,
        keys.SEARCHES,
        keys.START,
        keys.THEME,
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *keys.bindings(
            keys.DRAW, keys.PIN, keys.COMPARE, keys.SORT, keys.REVERSE, keys.SEARCHES, keys.BAND, keys.SMOOTH
        ),
        *keys.forwarded("plot", keys.OF_A_PLOT),
    ]

    DEFAULT_CSS = """
    RunsScreen {
        & #body { layout: horizontal; }
        & #left { width: 38; }
        & #detail { height: 14; display: none; }
        & #values { height: 2; }
        & .-hidden { display: none !important; }
        &.-full #left { width: 1fr; }
        &.-wide #left { width: 44%; }
        &.-tall #detail { display: block; }
        &.-tall #values { height: 10; }
        &.-tiny #left { width: 1fr; }
        &.-tiny #right { display: none; }
        &.-tiny.-full #right { display: block; }
        &.-flat #values { display: none; }
    }
    """

    def compose_body(self) -> Iterable[Widget]:
        with Vertical(id="left"):
            yield Table(id="runs")
            yield Lines(id="detail", classes="boxed")
        with Vertical(id="right"):
            yield Plot(id="plot", log_y=True, x_label="step", charset=self.host.charset)
            yield Lines(id="values")

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()

    @property
    def table(self) -> Table:
        return self.query_one("#runs", Table)

    @property
    def plot(self) -> Plot:
        return self.query_one("#plot", Plot)

    def focus_body(self) -> None:
        self.table.focus()

    def nothing_here(self) -> list[Line]:
        if self.state.bench is not None:
            return []
        return [
            [Part("No benchmark has been run yet; press 6 for meta-trainings.", bold=True)],
            [],
            *self._what_to_run(),
        ]

    def wanted_groups(self) -> Iterable[int]:
        return [group.id for group in self.state.drawn()]

    # Showing

    def show_body(self) -> None:
        state = self.state
        self._show_table()
        drawn = state.drawn()
        slots, letters = state.slots(drawn), state.letters(drawn)
        cursor = state.cursor
        plot = self.plot
        plot.palette_name = self.look.palette.name
        problem = cursor.problem if cursor else None
        plot.plot_title = f"loss  {problem.short_title}" if problem else "loss"
        plot.notes = plot_notes(state, drawn, bands=self.has_room_for_bands)
        plot.show_bands = state.style.band is not None and self.has_room_for_bands
        plot.x_max = float(problem.horizon) if problem else None
        plot.empty_text = self._why_empty(drawn)
        plot.set_series(
            group_series(
                drawn, slots, letters, state.snapshot.lines, self.signs, first=cursor.id if cursor else None
            )
        )
        self._show_values(plot.crosshair, plot.readings())
        self._show_detail()

    def _show_table(self) -> None:
        state, table = self.state, self.table
        columns, rows = run_table(state, table.size.width, self.look, self.signs)
        table.set_rows(columns, rows)
        if state.jump_to is not None:
            table.move_to(state.jump_to)
            state.jump_to = None
        if state.cursor_id != table.cursor_key:
            key = table.cursor_key
            state.cursor_id = key if isinstance(key, int) else None
            columns, rows = run_table(state, table.size.width, self.look, self.signs)
            table.set_rows(columns, rows)
        listed = sum(not row.is_heading for row in rows)
        total = 0 if state.bench is None else len(state.bench.groups)
        order = "" if state.sort == "problem" and not state.reverse else f" by {state.sort}"
        order += " reversed" if state.reverse else ""
        wanted = f" /{state.filter.text}" if state.filter.text else ""
        table.border_title = Content(safe_text(f"runs {listed}/{total}{order}{wanted}"))
        table.empty_text = "nothing fits the filter; esc clears it" if wanted else "no runs yet"

    def _why_empty(self, drawn: list[SeedGroup]) -> str:
        if not drawn:
            return "no line is shown: space on a row shows it"
        if all(group.status == "queued" for group in drawn):
            return "queued: nothing recorded yet"
        if any(group.id not in self.state.snapshot.lines for group in drawn):
            return "reading ..."
        return "nothing recorded yet"

    def _show_values(self, step: float | None, readings: tuple[Reading, ...]) -> None:
        plot = self.plot
        if step is None:
            readings = tuple(
                Reading(
                    safe_text(one.label),
                    one.letter,
                    one.color_index,
                    *one.values_at(one.x[-1] if one.x.size else 0),
                )
                for one in plot.series
            )
        bench, cursor = self.state.bench, self.state.cursor
        best = None if bench is None or cursor is None else bench.group(cursor.best_id)
        reference = None if best is None else safe_text(group_label(best, self.signs))
        palette = self.look.palette
        self.query_one("#values", Lines).show(
            lambda columns, rows: value_lines("batch", readings, step, reference, palette, columns, rows)
        )

    def _show_detail(self) -> None:
        state, detail = self.state, self.query_one("#detail", Lines)
        bench, cursor = state.bench, state.cursor
        if bench is None or cursor is None:
            detail.show_lines([])
            return
        snapshot, look, signs = state.snapshot, self.look, self.signs
        detail.show(lambda columns, rows: detail_lines(snapshot, bench, cursor, look, signs, columns))

    # What the widgets say

    @on(Table.Resized, "#runs")
    def _room_changed(self) -> None:
        """The table gets its room after the screen: rows that were made before are of another width."""
        self._show_table()

    @on(Table.Moved, "#runs")
    def _row_moved(self, event: Table.Moved) -> None:
        if not isinstance(event, Table.Opened) and event.key != self.state.cursor_id:
            self.state.cursor_id = event.key if isinstance(event.key, int) else None
            self.show_state()

    @on(Table.Opened, "#runs")
    def _row_opened(self, event: Table.Opened) -> None:
        if isinstance(event.key, int):
            self.host.open_group(event.key)

    @on(Plot.CrosshairMoved)
    def _crosshair_moved(self, event: Plot.CrosshairMoved) -> None:
        self._show_values(event.step, event.readings)

    # Keys

    def action_plot(self, name: str, *arguments: float) -> None:
        """Keys of the plot work wherever the focus is."""
        getattr(self.plot, f"action_{name}")(*arguments)

    def action_back(self) -> None:
        if self.plot.crosshair is not None and not self.has_class("-filtering"):
            self.plot.crosshair = None
        else:
            super().action_back()

    def action_draw(self) -> None:
        state, cursor = self.state, self.state.cursor
        if cursor is not None:
            shown = any(group.id == cursor.id for group in state.drawn())
            state.drawn_by_hand[cursor.id] = not shown
            self.show_state()

    def action_pin(self) -> None:
        if self.state.cursor_id is not None:
            self.state.pins ^= {self.state.cursor_id}
            self.show_state()

    def action_compare(self) -> None:
        self.host.show_tab("compare")

    def action_sort(self) -> None:
        state = self.state
        state.sort = SORTS[(SORTS.index(state.sort) + 1) % len(SORTS)]
        self.show_state()

    def action_reverse(self) -> None:
        self.state.reverse = not self.state.reverse
        self.show_state()

    def action_searches(self) -> None:
        self.state.show_search = not self.state.show_search
        self.show_state()

    def action_band(self) -> None:
        self.state.cycle_band()
        self.show_state()

    def action_smooth(self) -> None:
        self.state.cycle_smoothing()
        self.show_state()

    def copy_text(self) -> str:
        cursor, bench = self.state.cursor, self.state.bench
        if cursor is None or bench is None:
            return ""
        lines = detail_lines(self.state.snapshot, bench, cursor, self.look, self.signs, 100)
        return "\n".join("".join(part.text for part in line).strip() for line in lines)
