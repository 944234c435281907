"""Compare: a small plot for every problem, of loss against step and of final loss against learning rate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, Final, Literal

from rich.cells import cell_len
from textual import on
from textual.binding import BindingType
from textual.containers import Container
from textual.widget import Widget

from rnnprop_cli.tui import keys
from rnnprop_cli.tui.keys import Key
from rnnprop_cli.tui.lines import group_series
from rnnprop_cli.tui.plot import Plot, PlotSeries
from rnnprop_cli.tui.run_rows import letter, short_loss, short_rate
from rnnprop_cli.tui.screens.base import BaseScreen
from rnnprop_cli.tui.state import MOST_LINES
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.lines import Line, Lines
from rnnprop_cli.tui.widgets.values import value_lines
from rnnprop_cli.view.table.rate_curves import RateCurve, best_point, rate_curves
from rnnprop_cli.view.table.rows import Problem
from rnnprop_cli.view.table.seed_groups import SeedGroup

Mode = Literal["both", "curves", "rates"]
MODES: Final[tuple[Mode, ...]] = ("both", "curves", "rates")
_MOST_PANELS: Final = 16
_PANEL_COLUMNS: Final = 38
_PANEL_ROWS: Final = 10


@dataclass(frozen=True)
class Panel:
    """One small plot."""

    kind: Literal["pinned", "curves", "rates"]
    title: str
    groups: tuple[SeedGroup, ...]  # all those of the problem, or the pinned ones


class CompareScreen(BaseScreen):
    """As many panels as fit; page up and page down show the others."""

    TAB = "compare"
    KEYS: ClassVar[tuple[Key, ...]] = (
        keys.MODE,
        keys.PANELS,
        keys.NEXT_PANE.called("panel"),
        keys.FULL,
        keys.LOG_Y,
        keys.BAND,
        keys.SMOOTH,
        keys.FILTER,
        keys.EXPORT,
    )
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.MODE, keys.PANELS, keys.BAND, keys.SMOOTH)

    DEFAULT_CSS = """
    CompareScreen {
        & #grid { layout: grid; height: 1fr; }
        & #legend { height: 2; }
        & .-hidden { display: none !important; }
        &.-flat #legend { display: none; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._mode: Mode = "both"
        self._first = 0
        self._in_view: list[Panel] = []

    def compose_body(self) -> Iterable[Widget]:
        with Container(id="grid"):
            for number in range(_MOST_PANELS):
                yield Plot(id=f"panel{number}", log_y=True, charset=self.host.charset)
        yield Lines(id="legend")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#panel0").focus()

    def focus_body(self) -> None:
        self.query_one("#panel0").focus()

    def nothing_here(self) -> list[Line]:
        if self.state.bench is None:
            return [[Part("No benchmark has been run yet.", bold=True)], [], *self._what_to_run()]
        return [] if self._panels() else [[Part("Nothing fits the filter; esc clears it.", bold=True)]]

    # What is shown

    def _panels(self) -> list[Panel]:
        state = self.state
        if state.bench is None:
            return []
        by_problem: dict[Problem, list[SeedGroup]] = {}
        for group in state.bench.groups:
            by_problem.setdefault(group.problem, []).append(group)
        listed = {group.problem for group in state.listed(state.bench.groups)}
        panels = []
        pinned = tuple(group for group in state.bench.groups if group.id in state.pins)
        if pinned:
            panels.append(Panel("pinned", f"{len(pinned)} pinned", pinned))
        for problem in sorted(listed, key=lambda problem: problem.order):
            groups = tuple(by_problem[problem])
            if self._mode != "rates":
                panels.append(Panel("curves", problem.short_title, groups))
            if self._mode != "curves":
                panels.append(Panel("rates", problem.short_title, groups))
        return panels

    def _shape(self, panels: int) -> tuple[int, int]:
        """Columns and rows of the grid."""
        width, height = self.size.width, self.size.height - 4
        columns = min(max(width // _PANEL_COLUMNS, 1), 4, max(panels, 1))
        rows = min(max(height // _PANEL_ROWS, 1), 4, -(-panels // columns))
        if self._mode == "both" and columns == 3:
            columns = 2  # curves and rates of a problem side by side
        return columns, max(rows, 1)

    def wanted_groups(self) -> Iterable[int]:
        return [group.id for panel in self._in_view for group in self._drawn(panel)]

    def _drawn(self, panel: Panel) -> list[SeedGroup]:
        if panel.kind == "rates":
            return []
        if panel.kind == "pinned":
            best = {group.best_id for group in panel.groups}
            bench = self.state.bench
            extra = [g for g in (bench.groups if bench else ()) if g.id in best and g not in panel.groups]
            return [*panel.groups, *extra]
        return [group for group in panel.groups if group.facts.phase == "final"][:MOST_LINES]

    def show_body(self) -> None:
        panels = self._panels()
        columns, rows = self._shape(len(panels))
        self._first = min(self._first, max(len(panels) - 1, 0) // (columns * rows) * (columns * rows))
        self._in_view = panels[self._first : self._first + columns * rows]
        grid = self.query_one("#grid")
        grid.styles.grid_size_columns = columns
        grid.styles.grid_size_rows = min(rows, -(-len(self._in_view) // columns))
        for number in range(_MOST_PANELS):
            plot = self.query_one(f"#panel{number}", Plot)
            plot.display = number < len(self._in_view)
            if plot.display:
                self._fill(plot, self._in_view[number])
        self._show_legend(len(panels))

    def _fill(self, plot: Plot, panel: Panel) -> None:
        state = self.state
        plot.palette_name = self.look.palette.name
        if panel.kind == "rates":
            plot.plot_title = panel.title
            plot.x_label = "final loss by learning rate"
            plot.x_max = None
            plot.log_x = True
            plot.empty_text = "no learning rate was searched here yet"
            plot.set_series(self._rate_series(panel.groups))
            return
        drawn = self._drawn(panel)
        plot.plot_title = panel.title
        plot.x_label = "loss by step"
        plot.log_x = False
        plot.x_max = float(max((group.facts.horizon for group in drawn), default=1))
        plot.empty_text = (
            "reading ..." if any(g.id not in state.snapshot.lines for g in drawn) else "no final runs yet"
        )
        slots = state.slots(drawn)
        plot.show_bands = state.style.band is not None and self.has_room_for_bands
        plot.set_series(group_series(drawn, slots, slots, state.snapshot.lines, self.signs))

    def _rate_series(self, groups: Sequence[SeedGroup]) -> list[PlotSeries]:
        series = []
        slots = self.state.optimizer_slots()
        for curve in rate_curves(groups):
            slot = slots.get((curve.optimizer, "final"), len(slots))
            series.append(
                PlotSeries.of(
                    _rate_label(curve),
                    letter(slot).strip(),
                    curve.curve if self.state.style.band and self.has_room_for_bands else curve.curve.median,
                    dashed=curve.group is not None and curve.group.is_best,
                    color_index=slot,
                )
            )
        return series

    def _show_legend(self, panels: int) -> None:
        slots = self.state.optimizer_slots()
        palette = self.look.palette
        parts = [
            Part(f" {letter(slot)} {name} ", palette.series_color(slot), bold=slot == 0)
            for (name, phase), slot in slots.items()
            if phase == "final"
        ]
        last = self._first + len(self._in_view)
        best = "heavy" if self.app.no_color else "dashed"
        where = (
            f" {self._first + 1}-{last} of {panels} panels · {self._mode} · {best}: the best tuned baseline"
        )
        self.query_one("#legend", Lines).show(
            lambda columns, rows: [_fitting(parts, columns), [Part(where, palette.muted)]]
        )

    @on(Plot.CrosshairMoved)
    def _crosshair_moved(self, event: Plot.CrosshairMoved) -> None:
        if event.step is None or not event.plot.has_focus:
            if event.plot.has_focus:
                self._show_legend(len(self._panels()))
            return
        palette, step, readings = self.look.palette, event.step, event.readings
        self.query_one("#legend", Lines).show(
            lambda columns, rows: value_lines("", readings, step, None, palette, columns, rows)
        )

    # Keys

    def action_mode(self) -> None:
        self._mode = MODES[(MODES.index(self._mode) + 1) % len(MODES)]
        self._first = 0
        self.show_state()

    def action_page(self, pages: int) -> None:
        columns, rows = self._shape(len(self._panels()))
        if 0 <= self._first + pages * columns * rows < len(self._panels()):
            self._first += pages * columns * rows
            self.show_state()

    def action_band(self) -> None:
        self.state.cycle_band()
        self.show_state()

    def action_smooth(self) -> None:
        self.state.cycle_smoothing()
        self.show_state()

    def copy_text(self) -> str:
        lines = []
        for panel in self._in_view:
            for curve in rate_curves(panel.groups) if panel.kind == "rates" else ():
                if (point := best_point(curve.curve)) is not None:
                    rate = "-" if curve.is_learned else short_rate(point[0])
                    lines.append(f"{panel.title}\t{curve.optimizer}\t{rate}\t{short_loss(point[1])}")
        return "\n".join(lines)


def _rate_label(curve: RateCurve) -> str:
    point = best_point(curve.curve)
    if curve.is_learned or point is None:
        return curve.optimizer
    return f"{curve.optimizer} best {short_rate(point[0])}"


def _fitting(parts: Sequence[Part], columns: int) -> list[Part]:
    """The parts that a line has room for, whole; an ellipsis stands for the others."""
    ends = list(accumulate(cell_len(part.text) for part in parts))
    count = sum(end <= columns for end in ends)
    if count < len(parts):
        count = sum(end <= columns - 2 for end in ends)
    return [*parts[:count], *([Part(" …")] if count < len(parts) else [])]
