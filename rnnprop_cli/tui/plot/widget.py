"""The plot as a Textual widget: frames to strips, keys to views, the crosshair to messages."""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.actions import SkipAction
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from rnnprop_cli.tui import keys
from rnnprop_cli.tui.plot.frame import (
    Frame,
    FrameOptions,
    column_at,
    draw_frame,
    with_crosshair,
    x_at,
)
from rnnprop_cli.tui.plot.paint import Painter
from rnnprop_cli.tui.plot.palette import PALETTES, Palette
from rnnprop_cli.tui.plot.raster import Charset
from rnnprop_cli.tui.plot.scale import Axis
from rnnprop_cli.tui.plot.series import PlotSeries, Reading, nearest_x, next_x
from rnnprop_cli.tui.plot.view import View
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.shorten import shorten

_TITLE_FRAME: Final = 6  # columns of a border that its title cannot have


class Plot(Widget, can_focus=True):
    """Lines with bands over steps.

    ``set_series`` replaces everything shown and keeps the view; call it as often as data arrive. All reactives
    may be set at any time. `CrosshairMoved` tells what lies under the crosshair, after keys, the mouse or new
    data have changed it.
    """

    DEFAULT_CSS = """
    Plot {
        border: round $border-blurred;
        width: 1fr; height: 1fr;
        &:focus { border: heavy $border; }
        &.-ascii { border: ascii $border-blurred; }
        &.-ascii:focus { border: ascii $border; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(*keys.OF_A_PLOT, keys.ENDS, keys.HIDE)

    plot_title: reactive[str] = reactive("")
    x_label: reactive[str] = reactive("")
    notes: reactive[str] = reactive("")  # what else the title says: smoothing, kind of band, number of seeds
    empty_text: reactive[str] = reactive("no data yet")
    log_y: reactive[bool] = reactive(False)
    log_x: reactive[bool] = reactive(False)
    show_bands: reactive[bool] = reactive(True)
    follow: reactive[bool] = reactive(False)
    charset: reactive[Charset] = reactive(Charset.BRAILLE)
    palette_name: reactive[str] = reactive(
        "auto"
    )  # a key of PALETTES; "auto" is dark or light as the theme is
    x_max: reactive[float | None] = reactive(None)  # where the axis ends whatever the data: the horizon
    crosshair: reactive[float | None] = reactive(None)

    class CrosshairMoved(Message):
        """The crosshair moved, vanished (``step`` is None), or its values changed."""

        def __init__(self, plot: "Plot", step: float | None, readings: tuple[Reading, ...]) -> None:
            super().__init__()
            self.plot = plot
            self.step = step
            self.readings = readings

        @property
        def control(self) -> "Plot":
            return self.plot

    def __init__(
        self,
        series: Iterable[PlotSeries] = (),
        *,
        title: str = "",
        x_label: str = "",
        log_y: bool = False,
        log_x: bool = False,
        charset: Charset | str = Charset.BRAILLE,
        palette: str = "auto",
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._series: tuple[PlotSeries, ...] = tuple(series)
        self._view = View()
        self._frame: Frame | None = None  # lines, axes and letters
        self._strips: list[Strip] | None = None  # the same with the crosshair, ready to show
        self._painter = Painter(PALETTES["dark"])
        self.set_reactive(Plot.plot_title, title)
        self.set_reactive(Plot.x_label, x_label)
        self.set_reactive(Plot.log_y, log_y)
        self.set_reactive(Plot.log_x, log_x)
        self.set_reactive(Plot.charset, Charset(charset))
        self.set_reactive(Plot.palette_name, palette)

    # What is shown

    @property
    def series(self) -> tuple[PlotSeries, ...]:
        return self._series

    def set_series(self, series: Sequence[PlotSeries]) -> None:
        """Show these series, the first on top. The view stays; under `follow` it moves on with the data."""
        was_at_end = self.crosshair is not None and self.crosshair == self._domain_end()
        self._series = tuple(series)
        self._redraw()
        if self.follow and was_at_end:
            self.crosshair = self._domain_end()
        if self.crosshair is not None:
            self._post_crosshair()

    @property
    def x_axis(self) -> Axis:
        """The stretch of x in view."""
        return self._view.axis(self._series, log=self.log_x, x_max=self.x_max, follow=self.follow)

    @property
    def palette(self) -> Palette:
        """The palette in use, for whoever shows the same series elsewhere in the same colours."""
        if self.palette_name in PALETTES:
            return PALETTES[self.palette_name]
        return PALETTES["dark" if self.app.current_theme.dark else "light"]

    def readings(self) -> tuple[Reading, ...]:
        """Every series at the crosshair; empty if that is hidden."""
        if self.crosshair is None:
            return ()
        step = self.crosshair
        return tuple(
            Reading(safe_text(one.label), safe_text(one.letter), one.color_index, *one.values_at(step))
            for one in self._series
        )

    # Keys and mouse

    def action_toggle_log_y(self) -> None:
        self.log_y = not self.log_y

    def action_toggle_log_x(self) -> None:
        self.log_x = not self.log_x

    def action_toggle_follow(self) -> None:
        self.follow = not self.follow

    def action_toggle_bands(self) -> None:
        self.show_bands = not self.show_bands

    def action_zoom(self, factor: float) -> None:
        """Show 1/factor of the stretch in view, about the crosshair or, without one, the middle."""
        axis = self.x_axis
        centre = 0.5 if self.crosshair is None else axis.fraction(self.crosshair)
        self._zoom(factor, centre if 0 <= centre <= 1 else 0.5)

    def action_pan(self, share: float) -> None:
        """Move by a share of the stretch in view; moving back lets go of the live end."""
        if share < 0:
            self.follow = False
        self._view.pan(self.x_axis, share, self._whole_axis())
        self._redraw()

    def action_reset_view(self) -> None:
        self._view.reset()
        self._redraw()

    def action_move(self, columns: int) -> None:
        """Move the crosshair by cells, from point to point; the first press shows it in the middle."""
        frame = self._drawn_frame()
        if self.crosshair is None:
            self._set_crosshair(x_at(frame, frame.area.columns // 2))
            return
        column = column_at(frame, self.crosshair)
        if column is None:
            column = 0 if frame.x_axis.fraction(self.crosshair) < 0 else frame.area.columns - 1
        target = nearest_x(self._series, x_at(frame, column + columns))
        if target is None or (target - self.crosshair) * columns <= 0:
            target = next_x(self._series, self.crosshair, columns)
        if target is not None:
            self.crosshair = target
            self._bring_into_view(target)

    def action_move_to_end(self, direction: int) -> None:
        ends = [float(one.x[0 if direction < 0 else -1]) for one in self._series if one.x.size]
        if ends:
            self.crosshair = min(ends) if direction < 0 else max(ends)
            self._bring_into_view(self.crosshair)

    def action_hide_crosshair(self) -> None:
        if self.crosshair is None:
            raise SkipAction  # whoever binds escape above us gets it
        self.crosshair = None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        offset = event.get_content_offset(self)
        frame = self._drawn_frame()
        if offset is not None and 0 <= offset.x - frame.area.left < frame.area.columns:
            self._set_crosshair(x_at(frame, offset.x - frame.area.left))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._zoom_at_pointer(event, 2.0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._zoom_at_pointer(event, 0.5)

    def _zoom_at_pointer(self, event: events.MouseEvent, factor: float) -> None:
        offset = event.get_content_offset(self)
        area = self._drawn_frame().area
        if offset is not None and area.columns:
            event.stop()
            self._zoom(factor, min(max((offset.x - area.left + 0.5) / area.columns, 0.0), 1.0))

    def _zoom(self, factor: float, centre: float) -> None:
        self._view.zoom(self.x_axis, factor, centre, self._whole_axis())
        self._redraw()

    def _bring_into_view(self, x: float) -> None:
        fraction = self.x_axis.fraction(x)
        if math.isfinite(fraction) and not 0 <= fraction <= 1:
            self._view.pan(self.x_axis, fraction - 0.5, self._whole_axis())
            self._redraw()

    def _set_crosshair(self, near: float) -> None:
        nearest = nearest_x(self._series, near)
        if nearest is not None:
            self.crosshair = nearest

    def _domain_end(self) -> float | None:
        return max((float(one.x[-1]) for one in self._series if one.x.size), default=None)

    def _whole_axis(self) -> Axis:
        return View().axis(self._series, log=self.log_x, x_max=self.x_max, follow=self.follow)

    # Watchers

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self._restyle())
        self.set_class(self.charset is Charset.ASCII, "-ascii")
        self._restyle()

    def _restyle(self) -> None:
        self._painter = Painter(self.palette)
        self.styles.background = self.palette.ground
        self._redraw()

    def watch_palette_name(self) -> None:
        if self.is_mounted:
            self._restyle()

    def watch_charset(self, charset: Charset) -> None:
        self.set_class(charset is Charset.ASCII, "-ascii")
        self._redraw()

    def watch_log_x(self) -> None:
        self._view.reset()
        self._redraw()

    def watch_crosshair(self) -> None:
        self._strips = None
        self.refresh()
        self._post_crosshair()

    def _redraw(self) -> None:
        """Forget what was drawn; the next refresh draws anew."""
        self._frame = self._strips = None
        if self.is_mounted:
            self._retitle()
            self.refresh()

    watch_plot_title = watch_x_label = watch_notes = watch_empty_text = _redraw
    watch_log_y = watch_show_bands = watch_follow = watch_x_max = _redraw

    def on_resize(self) -> None:
        self._redraw()

    def _retitle(self) -> None:
        flags = [
            self.notes,
            "log y" if self.log_y else "",
            "log x" if self.log_x else "",
            "follow" if self.follow else "",
            "zoom" if self._view.is_zoomed else "",
        ]
        room = self.outer_size.width - _TITLE_FRAME
        words = shorten(safe_text(self.plot_title), room)
        for flag in map(safe_text, filter(None, flags)):  # whole, or not at all
            longer = f"{words} · {flag}" if words else flag
            words = longer if cell_len(longer) <= room else words
        self.border_title = Content(words)
        self.border_subtitle = Content(safe_text(self.x_label))

    def _post_crosshair(self) -> None:
        if self.is_mounted:
            self.post_message(self.CrosshairMoved(self, self.crosshair, self.readings()))

    # Rendering

    def _options(self) -> FrameOptions:
        return FrameOptions(
            charset=self.charset,
            y_kind="log" if self.log_y else "linear",
            bands=self.show_bands,
            colorless=self.app.no_color,
            empty_text="nothing here: 0 shows all" if self._view.is_zoomed else self.empty_text,
        )

    def _drawn_frame(self) -> Frame:
        if self._frame is None:
            width, height = self.size
            self._frame = draw_frame(self._series, self.x_axis, width, height, self._options())
        return self._frame

    def render_line(self, y: int) -> Strip:
        """One row of the picture, drawn once per change."""
        if self._strips is None:
            frame = self._drawn_frame()
            if self.crosshair is not None:
                frame = with_crosshair(frame, self.crosshair, self._options())
            self._strips = self._painter.strips(frame)
        if y < len(self._strips):
            return self._strips[y]
        return self._painter.blank(self.size.width)
