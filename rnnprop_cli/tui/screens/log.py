"""Log: what happened, newest first, the bad ends with their reasons."""

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.content import Content
from textual.widget import Widget

from rnnprop_cli.tui import keys
from rnnprop_cli.tui.keys import Key
from rnnprop_cli.tui.reading import Training
from rnnprop_cli.tui.screens.base import BaseScreen
from rnnprop_cli.tui.state import FILTER_KEYS
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.lines import Lines, wrapped
from rnnprop_cli.tui.widgets.table import Cell, Column, Row, Table
from rnnprop_cli.view.facts.log_lines import LogLine, log_lines
from rnnprop_cli.view.facts.progress import FINISHED
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.table.filtering import Subject, parse_filter

_DATE_COLUMNS = 110  # from which the date is shown beside the time


class LogScreen(BaseScreen):
    """A table of events, and the one under the cursor in full."""

    TAB = "log"
    KEYS: ClassVar[tuple[Key, ...]] = (
        keys.FILTER,
        keys.ROWS.called("newest/oldest", "g/G"),
        keys.COPY,
        keys.THEME,
    )
    DEFAULT_CSS = """
    LogScreen {
        & #full { height: 6; }
        & .-hidden { display: none !important; }
        &.-flat #full { display: none; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[LogLine] = []

    def compose_body(self) -> Iterable[Widget]:
        yield Table(id="events")
        yield Lines(id="full", classes="boxed")

    @property
    def table(self) -> Table:
        return self.query_one("#events", Table)

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()

    def focus_body(self) -> None:
        self.table.focus()

    def _every_line(self) -> list[LogLine]:
        state = self.state
        if state.front == "train" and (training := state.snapshot.training) is not None:
            lines = log_lines(training.experiment, (), training.events)
            lines = sorted([*_own_lines(training), *lines], key=lambda line: line.time_utc, reverse=True)
        elif state.bench is not None:
            lines = log_lines(state.bench.experiment, state.bench.groups, state.bench.events)
        else:
            lines = []
        return [*self.host.works.log(), *lines]

    def show_body(self) -> None:
        # Keys of groups mean nothing here: such words of the filter are left out.
        wanted = parse_filter(self.state.filter.text, ("kind",), elsewhere=FILTER_KEYS)
        every = self._every_line()
        self._lines = [
            line for line in every if wanted.fits(Subject(f"{line.kind} {line.text}", {"kind": line.kind}))
        ]
        look, dated = self.look, self.size.width >= _DATE_COLUMNS
        colors = {
            "failed": look.bad, "diverged": look.warn, "interrupted": look.warn, "created": look.palette.accent,
            "continued": look.palette.accent, "done": look.good, FINISHED: look.good, "running": look.busy,
            "output": look.palette.muted,
        }  # fmt: skip
        rows = [
            Row(
                (line, len(self._lines) - number),  # counted from the oldest: new ones come on top
                (
                    Cell(_time(line.time_utc, dated), look.palette.muted),
                    Cell(line.kind, colors.get(line.kind), bold=line.kind in ("failed", "diverged")),
                    line.text.replace("\n", " "),
                ),
            )
            for number, line in enumerate(self._lines)
        ]
        columns = [Column("UTC", 19 if dated else 8), Column("what", 11), Column("")]
        self.table.set_rows(columns, rows)
        self.table.empty_text = "nothing fits the filter" if every else "nothing has happened yet"
        name = self.state.experiment.facts.name if self.state.experiment else ""
        self.table.border_title = Content(safe_text(f"log of {name}  {len(rows)}/{len(every)}, newest first"))
        self._show_full()

    def _chosen(self) -> LogLine | None:
        key = self.table.cursor_key
        return key[0] if isinstance(key, tuple) else None

    def _show_full(self) -> None:
        line = self._chosen()
        box = self.query_one("#full", Lines)
        if line is None:
            box.show_lines([])
            return
        muted = self.look.palette.muted
        box.show(
            lambda columns, rows: [
                [Part(f" {line.time_utc} {line.kind}", muted)],
                *wrapped(line.text, columns - 1, indent=" "),
            ]
        )

    @on(Table.Moved, "#events")
    def _moved(self) -> None:
        self._show_full()

    def copy_text(self) -> str:
        line = self._chosen()
        return "" if line is None else f"{line.time_utc} {line.kind} {line.text}"


def _time(utc: str, dated: bool) -> str:
    if "T" not in utc:
        return utc
    date, _, time = utc.removesuffix("Z").partition("T")
    return f"{date} {time}" if dated else time


def _own_lines(training: Training) -> list[LogLine]:
    """What a meta-training tells of itself, the latest first. No time of its end is kept: its last checkpoint's stands
    for that."""
    saved = [
        LogLine(one.created_utc, "checkpoint", f"meta-iteration {one.meta_step:,}: {one.path}")
        for one in reversed(training.checkpoints)
    ]
    run = training.run
    if run is None or not run.started_utc:
        return saved
    running = run.result.status == "running"
    time_utc = run.started_utc if running else max(run.started_utc, *(line.time_utc for line in saved), "")
    state = [LogLine(time_utc, run.result.status, f"{training.done:,} meta-iterations")]
    if run.result.error:
        state.insert(0, LogLine(time_utc, "failed", run.result.error))
    return [*state, *saved]
