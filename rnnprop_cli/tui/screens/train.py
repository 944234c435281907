"""Train: a meta-training's losses, its rate and its checkpoints."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget

from rnnprop_cli.records import (
    MOVING_AVERAGE,
    RATE,
    TRAIN_LOSS,
    VALIDATION_LOSS,
    Status,
)
from rnnprop_cli.tui import keys
from rnnprop_cli.tui.keys import Key
from rnnprop_cli.tui.lines import smoothing_note
from rnnprop_cli.tui.plot import Plot, PlotSeries, Reading
from rnnprop_cli.tui.reading import Training, stalled
from rnnprop_cli.tui.run_rows import short_loss
from rnnprop_cli.tui.screens.base import BaseScreen
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.lines import Line, Lines, wrapped
from rnnprop_cli.tui.widgets.table import Cell, Column, Row, Table
from rnnprop_cli.tui.widgets.values import value_lines
from rnnprop_cli.view.curves.curve import smooth
from rnnprop_cli.view.curves.seed_lines import decay_over
from rnnprop_cli.view.facts.training import chosen_checkpoint, recent_rate, selection_rule
from rnnprop_cli.view.numbers import format_remaining
from rnnprop_cli.view.safe_text import safe_text


class TrainScreen(BaseScreen):
    """Meta-trainings on the left, the curves of the chosen one on the right."""

    TAB = "train"
    KEYS: ClassVar[tuple[Key, ...]] = (
        keys.ROWS.called("choose", "↑↓"),
        keys.LOG_Y,
        keys.SMOOTH,
        keys.FOLLOW,
        keys.FULL,
        keys.START,
        keys.INTERRUPT,
        keys.EXPORT,
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *keys.bindings(keys.SMOOTH),
        *keys.forwarded("plot", keys.OF_A_PLOT),
    ]

    DEFAULT_CSS = """
    TrainScreen {
        & #body { layout: horizontal; }
        & #trainings { height: 1fr; }
        & #side { width: 38; }
        & #about { height: 13; }
        & #rate { height: 9; display: none; }
        & #values { height: 1; }
        & .-hidden { display: none !important; }
        &.-full #side { width: 1fr; }
        &.-wide #side { width: 60; }
        &.-tall #about { height: 26; }
        &.-tall #rate { display: block; }
        &.-tall #values { height: 6; }
        &.-tiny #side { display: none; }
        &.-flat #about { display: none; }
        &.-flat #values { display: none; }
    }
    """

    def compose_body(self) -> Iterable[Widget]:
        with Vertical(id="side"):
            yield Table(id="trainings")
            yield Lines(id="about", classes="boxed")
        with Vertical(id="curves"):
            yield Plot(id="meta", log_y=True, x_label="meta-iteration", charset=self.host.charset)
            yield Lines(id="values")
            yield Plot(id="rate", title="meta-iterations a second", charset=self.host.charset)

    @property
    def table(self) -> Table:
        return self.query_one("#trainings", Table)

    @property
    def plot(self) -> Plot:
        return self.query_one("#meta", Plot)

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()

    def focus_body(self) -> None:
        self.table.focus()

    def nothing_here(self) -> list[Line]:
        if self.state.snapshot.training is not None:
            return []
        return [
            [Part("No meta-training has been run yet; press 1 for benchmarks.", bold=True)],
            [],
            *self._what_to_run(),
        ]

    # What is shown

    def show_body(self) -> None:
        training = self.state.snapshot.training
        if training is None:
            return
        self._show_list(training)
        series = self._series(training)
        plot = self.plot
        plot.palette_name = self.look.palette.name
        plot.plot_title = f"meta-loss of {training.experiment.facts.name}"
        plot.notes = smoothing_note(self._decay(training))
        plot.x_max = float(training.planned) if training.planned else None
        plot.empty_text = "queued: nothing recorded yet"
        plot.set_series(series)
        self._show_values(plot.crosshair, plot.readings())
        rate = self.query_one("#rate", Plot)
        rate.palette_name, rate.x_max = plot.palette_name, plot.x_max
        speed = training.curves.get(RATE)
        rate.set_series(
            [] if speed is None else [PlotSeries.of("a second", "", smooth(speed, 0.9), color_index=3)]
        )
        self.query_one("#about", Lines).show(lambda columns, rows: self._about(training, columns))

    def _show_list(self, shown: Training) -> None:
        snapshot, look, signs = self.state.snapshot, self.look, self.signs
        rows = []
        for experiment in reversed(snapshot.experiments):
            if experiment.facts.kind != "train":
                continue
            counts: Counter[Status] = snapshot.counts.get(experiment.id, Counter())
            status: Status = next(iter(counts), "queued")
            here = experiment.id == shown.experiment.id
            share = f"{shown.done / shown.planned:.0%}" if here and shown.planned else ""
            created = experiment.created_utc.replace("T", " ").removesuffix("Z")[5:16]
            rows.append(
                Row(
                    experiment.id,
                    (
                        Cell(signs.statuses[status], look.status_color(status)),
                        Cell(experiment.facts.name, bold=here),
                        share,
                        Cell(created, look.palette.muted),
                    ),
                )
            )
        columns = [
            Column("", 1),
            Column("meta-training", names=True),
            Column("done", 5, True),
            Column("created", 11),
        ]
        self.table.set_rows(columns, rows)
        self.table.border_title = Content(f"meta-trainings {len(rows)}")
        if self.table.cursor_key != shown.experiment.id and self.state.train_id is None:
            self.table.move_to(shown.experiment.id)

    def _decay(self, training: Training) -> float:
        return decay_over(training.planned or training.done or 1, self.state.style.smoothing)

    def _series(self, training: Training) -> list[PlotSeries]:
        names = (
            (MOVING_AVERAGE, "moving average", "m", 0),
            (VALIDATION_LOSS, "validation", "v", 1),
            (TRAIN_LOSS, "meta-loss", "t", 2),
        )
        series = []
        for metric, label, sign, color in names:
            curve = training.curves.get(metric)
            if curve is None or not len(curve):
                continue
            if metric == TRAIN_LOSS:
                curve = smooth(curve, self._decay(training))
            if metric == VALIDATION_LOSS and len(curve) > 1:
                label += f" every {int(curve.steps[1] - curve.steps[0]):,}"
            series.append(
                PlotSeries.of(label, sign, curve, color_index=color, dashed=metric == VALIDATION_LOSS)
            )
        return series

    def _show_values(self, step: float | None, readings: tuple[Reading, ...]) -> None:
        if step is None:
            readings = tuple(
                Reading(one.label, one.letter, one.color_index, float(one.y[-1]), math.nan, math.nan)
                for one in self.plot.series
            )
        palette = self.look.palette
        self.query_one("#values", Lines).show(
            lambda columns, rows: value_lines("", readings, step, None, palette, columns, rows)
        )

    def _about(self, training: Training, columns: int) -> list[Line]:
        look, muted = self.look, self.look.palette.muted
        run = training.run
        if run is None:
            return [[Part(" queued", muted)]]
        facts, result = run.facts, run.result
        done = f"{training.done:,}" + (f" of {training.planned:,}" if training.planned else "")
        lines: list[Line] = [
            [Part(" status   ", muted), Part(result.status, look.status_color(result.status), bold=True)],
            [Part(" done     ", muted), Part(f"{done} iterations")],
            [Part(" trains   ", muted), Part(facts.optimizer)],
            [Part(" on       ", muted), Part(f"{facts.dataset or ''} {facts.network}".strip())],
            [Part(" horizon  ", muted), Part(f"{facts.horizon:,} steps, seed {facts.seed}")],
        ]
        if (speed := recent_rate(training.curves.get(RATE))) is not None:
            text = f"{speed:.3g} a second"
            if result.status == "running" and training.planned:
                text += f", {format_remaining((training.planned - training.done) / speed)} to go"
            lines.append([Part(" speed    ", muted), Part(text)])
        lines += [*self._ending(training, columns), *self._checkpoints(training, columns)]
        return lines

    def _ending(self, training: Training, columns: int) -> list[Line]:
        """Why it stopped, if it did not end well."""
        assert training.run is not None
        look, result = self.look, training.run.result
        holder = self.state.snapshot.holder
        if result.status == "running" and stalled(training.experiment, holder):
            text = "its process is gone: it crashed or was killed; rnnprop train --resume goes on"
            return wrapped(text, columns - 1, color=look.bad, indent=" ")
        if result.status == "diverged":
            where = "" if result.first_bad_step is None else f" at meta-iteration {result.first_bad_step:,}"
            return wrapped(f"the meta-loss was not finite{where}", columns - 1, color=look.warn, indent=" ")
        if result.status == "interrupted":
            text = f"interrupted; rnnprop train --resume {training.experiment.facts.name} goes on"
            return wrapped(text, columns - 1, color=look.warn, indent=" ")
        if result.error:
            return wrapped(result.error, columns - 1, color=look.bad, indent=" ")
        return []

    def _checkpoints(self, training: Training, columns: int) -> list[Line]:
        look, muted = self.look, self.look.palette.muted
        if not training.checkpoints:
            return [[], [Part(" no checkpoint kept yet", muted)]]
        rule = selection_rule(training.experiment)
        chosen = chosen_checkpoint(training.checkpoints, rule, training.curves.get(TRAIN_LOSS))
        lines: list[Line] = [[], [Part(f" {'checkpoint':<11}{'average':>8}{'validation':>11}", muted)]]
        for one in reversed(training.checkpoints):
            text = f" {one.meta_step:<11,}{_loss(one.moving_average):>8}{_loss(one.validation_loss):>11}"
            best = one is chosen
            mark = f"  {self.signs.best} lowest {rule.replace('_', ' ')}" if best else ""
            if best and len(text + mark) > columns:
                mark = f" {self.signs.best}"
            lines.append([Part(text + mark, look.palette.accent if best else None, bold=best)])
        return lines

    @on(Table.Moved, "#trainings")
    def _moved(self, event: Table.Moved) -> None:
        if isinstance(event.key, int) and event.key != self.state.train_id:
            training = self.state.snapshot.training
            if training is None or event.key != training.experiment.id:
                self.state.train_id = event.key
                self.show_state()

    @on(Plot.CrosshairMoved, "#meta")
    def _crosshair_moved(self, event: Plot.CrosshairMoved) -> None:
        self._show_values(event.step, event.readings)

    # Keys

    def action_plot(self, name: str, *arguments: float) -> None:
        """Keys of the plot work wherever the focus is."""
        getattr(self.plot, f"action_{name}")(*arguments)

    def action_back(self) -> None:
        if self.plot.crosshair is not None:
            self.plot.crosshair = None
        else:
            super().action_back()

    def action_smooth(self) -> None:
        self.state.cycle_smoothing()
        self.show_state()

    def copy_text(self) -> str:
        return self.query_one("#about", Lines).text


def _loss(loss: float | None) -> str:
    return safe_text(short_loss(loss))
