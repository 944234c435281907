import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from rich.segment import Segment
from textual import events
from textual.app import App, ComposeResult
from textual.content import Content
from textual.pilot import Pilot

from rnnprop_cli.tui.plot import PALETTES, Charset, Plot, PlotSeries
from rnnprop_cli.view.curves.curve import Curve, band_over_seeds

POINTS = 1000


def example_series(points: int = POINTS) -> list[PlotSeries]:
    step = np.arange(points)
    seeds = [Curve(step, np.exp(-step / 100) * scale + 0.01) for scale in (1.0, 1.5, 2.0)]
    return [
        PlotSeries.of("rnnprop", "a", band_over_seeds(seeds)),
        PlotSeries.of("adam", "b", Curve(step, np.full(points, 0.5)), dashed=True, color_index=1),
    ]


class PlotApp(App[None]):
    def __init__(self, plot: Plot) -> None:
        super().__init__()
        self.plot = plot
        self.moves: list[Plot.CrosshairMoved] = []

    def compose(self) -> ComposeResult:
        yield self.plot

    def on_mount(self) -> None:
        self.plot.focus()

    def on_plot_crosshair_moved(self, message: Plot.CrosshairMoved) -> None:
        self.moves.append(message)


Script = Callable[[PlotApp, Pilot[None]], Awaitable[None]]


def play(script: Script, plot: Plot | None = None, size: tuple[int, int] = (80, 24)) -> None:
    async def run() -> None:
        app = PlotApp(plot or Plot(example_series(), title="loss", x_label="step", log_y=True))
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await script(app, pilot)

    asyncio.run(run())


def screen_rows(plot: Plot) -> list[str]:
    return [plot.render_line(y).text for y in range(plot.size.height)]


def test_letters_ticks_and_titles_are_shown() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        rows = screen_rows(app.plot)
        assert {row[-1] for row in rows} >= {"a", "b"}
        assert "1,000" in rows[-1]
        assert ".1┤" in "".join(rows)
        assert str(app.plot.border_title) == "loss · log y"
        assert str(app.plot.border_subtitle) == "step"

    play(script)


def test_a_title_loses_its_middle_and_what_stands_behind_it_goes_as_a_whole() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        plot = app.query_one(Plot)
        plot.styles.border = ("round", "white")
        plot.plot_title, plot.notes = "a title of many words with an end", "notes"
        for width, title in (
            (60, "a title of many words with an end · notes · log y"),
            (50, "a title of many words with an end · notes"),
            (40, "a title of many words with an end"),
            (26, "a title of …h an end"),
        ):
            plot.styles.width = width
            await pilot.pause()
            await pilot.pause()
            assert str(plot._border_title) == title

    play(script)


def test_keys_toggle_the_axes() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        before = screen_rows(app.plot)
        await pilot.press("y")
        assert not app.plot.log_y
        assert screen_rows(app.plot) != before
        await pilot.press("x")
        assert app.plot.log_x
        assert "log x" in str(app.plot.border_title)
        assert app.plot.x_axis.low == 1  # step 0 has no logarithm
        await pilot.press("x", "y")
        assert screen_rows(app.plot) == before

    play(script)


def test_the_crosshair_reports_the_values_under_it() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        await pilot.press("right")
        await pilot.press("G")
        message = app.moves[-1]
        assert message.control is app.plot
        assert message.step == POINTS - 1
        learned, baseline = message.readings
        assert (learned.label, learned.letter) == ("rnnprop", "a")
        assert learned.low <= learned.value <= learned.high
        assert baseline.value == 0.5
        assert np.isnan(baseline.low)
        assert "@999" in screen_rows(app.plot)[-1]

    play(script)


def test_the_crosshair_moves_by_cells_and_ten_at_a_time() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        await pilot.press("right")
        start = app.plot.crosshair
        await pilot.press("right")
        one = app.plot.crosshair
        await pilot.press("left")
        assert app.plot.crosshair == start
        await pilot.press("shift+right")
        ten = app.plot.crosshair
        assert start is not None
        assert one is not None
        assert ten is not None
        assert ten - start == pytest.approx(10 * (one - start), rel=0.1)
        await pilot.press("home")
        assert app.plot.crosshair == 0
        await pilot.press("left")
        assert app.plot.crosshair == 0
        await pilot.press("escape")
        assert app.plot.crosshair is None
        await pilot.pause()
        assert app.moves[-1].step is None
        assert app.moves[-1].readings == ()

    play(script)


def test_the_crosshair_visits_every_point_where_cells_are_finer() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        await pilot.press("g")
        visited = [app.plot.crosshair]
        for _ in range(3):
            await pilot.press("l")
            visited.append(app.plot.crosshair)
        assert visited == [0, 1, 2, 3]

    play(script, Plot([PlotSeries.of("short", "a", Curve.of([1.0, 2.0, 3.0, 4.0]))]))


def test_zoom_keeps_the_crosshair_in_place_and_zero_resets() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        whole = app.plot.x_axis
        await pilot.press("right", "shift+right")
        fraction = whole.fraction(app.plot.crosshair or 0)
        await pilot.press("+")
        zoomed = app.plot.x_axis
        assert zoomed.high - zoomed.low == pytest.approx((whole.high - whole.low) / 2)
        assert zoomed.fraction(app.plot.crosshair or 0) == pytest.approx(fraction)
        assert "zoom" in str(app.plot.border_title)
        await pilot.press("<")
        assert app.plot.x_axis.low < zoomed.low
        await pilot.press("0")
        assert app.plot.x_axis == whole
        await pilot.press("-")
        assert app.plot.x_axis == whole

    play(script)


def test_zoom_has_a_bottom_and_never_leaves_the_data() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        whole = app.plot.x_axis
        for _ in range(60):
            app.plot.action_zoom(2.0)
        await pilot.pause()
        assert whole.low <= app.plot.x_axis.low < app.plot.x_axis.high <= whole.high
        for _ in range(5):
            app.plot.action_pan(1e6)
        await pilot.pause()
        assert app.plot.x_axis.high == pytest.approx(whole.high)
        screen_rows(app.plot)

    play(script)


def test_a_zoomed_view_stays_while_data_grow_unless_it_follows() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        await pilot.press("+", "+")
        before = app.plot.x_axis
        app.plot.set_series(example_series(2 * POINTS))
        assert app.plot.x_axis == before
        await pilot.press("f")
        following = app.plot.x_axis
        assert following.high >= 2 * POINTS - 1
        assert following.high - following.low == pytest.approx(before.high - before.low)
        await pilot.press("G")
        app.plot.set_series(example_series(3 * POINTS))
        await pilot.pause()
        assert app.plot.crosshair == app.moves[-1].step == 3 * POINTS - 1

    play(script)


def test_under_follow_the_axis_moves_in_jumps() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        app.plot.follow = True
        ends = set()
        for points in range(POINTS, POINTS + 30):
            app.plot.set_series(example_series(points))
            ends.add(app.plot.x_axis.high)
        assert len(ends) <= 3

    play(script)


def test_a_given_horizon_fixes_the_axis() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        app.plot.x_max = 5000
        assert app.plot.x_axis.high == 5000

    play(script)


def test_every_size_down_to_one_cell_is_drawn() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        await pilot.press("right")
        for size in [(160, 48), (24, 7), (12, 5), (6, 4), (3, 3), (2, 2), (1, 1), (80, 24)]:
            await pilot.resize_terminal(*size)
            await pilot.press("right", "+", "0")
            for y in range(app.plot.size.height):
                assert app.plot.render_line(y).cell_length == app.plot.size.width

    play(script)


def test_a_borderless_plot_of_one_cell_is_drawn() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        app.plot.styles.border = ("none", "black")
        await pilot.resize_terminal(1, 1)
        await pilot.press("left", "G", "y")
        assert app.plot.size == (1, 1)
        assert app.plot.render_line(0).cell_length == 1

    play(script)


def test_without_data_the_plot_says_so() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        await pilot.press("right", "+", "-", "0", "G", "f", "y", "x")
        assert "no data yet" in "".join(screen_rows(app.plot))
        app.plot.set_series([PlotSeries("nothing", "a", np.array([0.0]), np.array([np.nan]))])
        assert "no data yet" in "".join(screen_rows(app.plot))

    play(script, Plot())


@pytest.mark.parametrize("charset", list(Charset))
def test_no_color_gives_patterns_and_no_crash(charset: Charset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown: list[list[str]] = []

    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        assert app.no_color
        await pilot.press("right")
        await pilot.resize_terminal(100, 30)
        assert app.export_screenshot()
        shown.append(screen_rows(app.plot))

    plain = [PlotSeries.of("one", "a", Curve.of(np.ones(100)), color_index=index) for index in (0, 1)]
    play(script, Plot([plain[0]], charset=charset))
    monkeypatch.setenv("NO_COLOR", "1")  # Textual takes it out of the environment
    play(script, Plot([plain[1]], charset=charset))
    assert shown[0] != shown[1]


def test_every_segment_has_both_colours() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        await pilot.press("right")
        segments: list[Segment] = [part for y in range(99) for part in app.plot.render_line(y)]
        assert all(part.style and part.style.color and part.style.bgcolor for part in segments)

    play(script)


def test_the_palette_goes_with_the_theme_unless_one_is_named() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        assert app.plot.palette is PALETTES["dark"]
        app.theme = "textual-light"
        await pilot.pause()
        assert app.plot.palette is PALETTES["light"]
        assert app.plot.styles.background.hex.lower() == PALETTES["light"].ground
        app.plot.palette_name = "high-contrast"
        assert app.plot.styles.background.hex.lower() == PALETTES["high-contrast"].ground

    play(script)


def test_ascii_plots_hold_nothing_but_ascii() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        await pilot.press("right")
        assert "".join(screen_rows(app.plot)).isascii()

    play(script, Plot(example_series(), charset="ascii"))


def test_markup_and_escapes_in_titles_are_shown_as_they_are() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        app.plot.plot_title = "[red]x\x1b[0m"
        await pilot.pause()
        assert Content.from_markup(str(app.plot.border_title)).plain == "[red]x�[0m · log y"
        app.plot.set_series([PlotSeries.of("\x1b]2;name", "a", Curve.of([1.0]))])
        await pilot.press("G")
        assert app.plot.readings()[0].label == "�]2;name"

    play(script)


def test_bands_can_be_hidden() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        with_band = [app.plot.render_line(y) for y in range(20)]
        app.plot.action_toggle_bands()
        assert [app.plot.render_line(y) for y in range(20)] != with_band

    play(script)


def test_the_mouse_moves_the_crosshair_and_its_wheel_zooms() -> None:
    async def script(app: PlotApp, pilot: Pilot[None]) -> None:
        await pilot.hover(Plot, offset=(40, 10))
        assert app.plot.crosshair == pytest.approx(POINTS / 2, rel=0.1)
        await pilot._post_mouse_events([events.MouseScrollUp], Plot, offset=(40, 10))
        await pilot.pause()
        assert "zoom" in str(app.plot.border_title)

    play(script)
