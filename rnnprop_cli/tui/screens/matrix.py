"""Matrix: how far from the best tuned baseline, over optimizees, depths, activations and horizons."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget

from rnnprop_cli.tui import keys
from rnnprop_cli.tui.keys import Key
from rnnprop_cli.tui.run_rows import short_loss, short_percent
from rnnprop_cli.tui.screens.base import BaseScreen
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.detail import detail_lines
from rnnprop_cli.tui.widgets.heat import HeatBar, HeatRow, HeatTable
from rnnprop_cli.tui.widgets.lines import Line, Lines
from rnnprop_cli.tui.widgets.table import Cell
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.table.pivot import Pivot, column_choices, compared_groups, is_one_problem, pivot
from rnnprop_cli.view.table.seed_groups import SeedGroup
from rnnprop_cli.view.table.verdicts import verdict

_WHY_COLUMNS = 72
_BAR_RANGE = 4.0  # the longest bar at most, in lowest losses


class MatrixScreen(BaseScreen):
    """A heat table, and the cell under the cursor in words."""

    TAB = "matrix"
    KEYS: ClassVar[tuple[Key, ...]] = (
        keys.COLUMNS,
        keys.BASELINES,
        keys.OPEN.called("runs"),
        keys.FILTER,
        keys.EXPORT,
        keys.THEME,
    )
    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.COLUMNS, keys.BASELINES)

    DEFAULT_CSS = """
    MatrixScreen {
        & #cell { height: 10; max-height: 48%; }
        & #legend { height: 1; }
        & .-hidden { display: none !important; }
        &.-tall #cell { height: 14; }
        &.-flat #cell { display: none; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._column = 0
        self._learned_only = True
        self._shown: Pivot | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield HeatTable(id="heat")
        yield Lines(id="legend")
        yield Lines(id="cell", classes="boxed")

    @property
    def heat(self) -> HeatTable:
        return self.query_one("#heat", HeatTable)

    def on_mount(self) -> None:
        super().on_mount()
        self.heat.focus()

    def focus_body(self) -> None:
        self.heat.focus()

    def _groups(self) -> list[SeedGroup]:
        state = self.state
        groups = state.bench.groups if state.bench else ()
        return compared_groups(state.listed(groups), learned_only=self._learned_only)

    def nothing_here(self) -> list[Line]:
        if self.state.bench is None:
            return [[Part("No benchmark has been run yet.", bold=True)], [], *self._what_to_run()]
        if not self._groups():
            text = (
                "Nothing fits the filter; esc clears it." if self.state.filter.text else "No final runs yet."
            )
            return [[Part(text, bold=True)]]
        return []

    def show_body(self) -> None:
        groups = self._groups()
        choices = column_choices(groups)
        axis = choices[self._column % len(choices)]
        self._shown = found = pivot(groups, axis)
        rows = [
            HeatRow(
                label,
                tuple(self._cell(found.cells.get((at, column))) for column in range(len(found.columns))),
                self._bar(found.cells.get((at, 0)), groups) if is_one_problem(groups) else None,
            )
            for at, label in enumerate(found.rows)
        ]
        self.heat.set_cells(found.row_axes, found.columns, rows)
        who = "all optimizers" if not self._learned_only else "learned optimizers"
        if self._learned_only and not any(group.is_learned for group in groups):
            who = "all optimizers: no learned one here"
        if is_one_problem(groups):
            who = f"bars: final loss · {groups[0].problem.short_title}"
        self.heat.border_title = Content(safe_text(f"{self.signs.delta}% to the best tuned baseline · {who}"))
        self.heat.border_subtitle = Content(f"columns: {axis}")
        better, worse = self.look.heat(-20), self.look.heat(20)
        self.query_one("#legend", Lines).show_lines(
            [
                [
                    Part(" -20 ", ground=better), Part(" better  "), Part(" +20 ", ground=worse), Part(" worse  "),
                    Part("plain", self.look.palette.muted),
                    Part(": undecided" + self._why_plain, self.look.palette.muted),
                ]
            ]
        )  # fmt: skip
        self._show_cell()

    def _cell(self, group: SeedGroup | None) -> Cell | None:
        if group is None:
            return None
        row, look = group.row, self.look
        if group.is_best:
            return Cell("best", look.palette.accent)
        if group.statuses["running"] or not row.counts.seeds:
            sign = self.signs.statuses[group.status]
            return Cell(sign, look.status_color(group.status))
        percent = None if row.comparison is None else row.comparison.percent.centre
        if percent is None:
            lost = row.counts.diverged > 0
            return Cell("DIV" if lost else "-", look.warn if lost else look.palette.muted)
        sure = verdict(row) in ("win", "loss")
        mark = "!" if row.counts.diverged or row.counts.failed else ""
        text = short_percent(percent) + mark
        return Cell(text, look.palette.text, look.heat(percent) if sure else None, bold=sure)

    @property
    def _why_plain(self) -> str:
        return " (the 95 % interval holds 0)" if self.size.width >= _WHY_COLUMNS else ""

    def _bar(self, group: SeedGroup | None, groups: Sequence[SeedGroup]) -> HeatBar | None:
        """The final loss of a group; those far beyond the best are cut, or all others would look the same."""
        loss = None if group is None else group.row.final.mean.centre
        if group is None or loss is None:
            return None
        losses = [each for other in groups if (each := other.row.final.mean.centre) is not None]
        longest = min(max(losses), max(min(losses), 0.0) * _BAR_RANGE) or 1.0
        beyond = "+" if loss > longest else ""
        slot = self.state.optimizer_slots().get((group.facts.optimizer, "final"), 0)
        return HeatBar(loss / longest, short_loss(loss) + beyond, self.look.palette.series_color(slot))

    def _chosen(self) -> SeedGroup | None:
        return None if self._shown is None else self._shown.cells.get(self.heat.cursor)

    def _show_cell(self) -> None:
        bench, group, box = self.state.bench, self._chosen(), self.query_one("#cell", Lines)
        if bench is None or group is None:
            box.show_lines([[Part(" not measured", self.look.palette.muted)]])
            return
        snapshot, look, signs = self.state.snapshot, self.look, self.signs
        box.show(lambda columns, rows: detail_lines(snapshot, bench, group, look, signs, columns))

    @on(HeatTable.Moved)
    def _moved(self, event: HeatTable.Moved) -> None:
        if isinstance(event, HeatTable.Opened):
            if (group := self._chosen()) is not None:
                self.state.jump_to = group.id
                self.host.show_tab("runs")
        else:
            self._show_cell()

    def action_columns(self) -> None:
        self._column += 1
        self.show_state()

    def action_baselines(self) -> None:
        self._learned_only = not self._learned_only
        self.show_state()

    def copy_text(self) -> str:
        found = self._shown
        if found is None:
            return ""
        lines = ["\t".join([*found.row_axes, *found.columns])]
        for at, label in enumerate(found.rows):
            cells = (self._cell(found.cells.get((at, column))) for column in range(len(found.columns)))
            lines.append("\t".join([*label, *(cell.text if cell else "" for cell in cells)]))
        return "\n".join(lines)
