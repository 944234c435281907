"""The screen Runs: rows, keys, filter, sorting, panes."""

from pathlib import Path

import pytest
from app_driver import play, screen_text, settle
from synthetic_store import make_bench, make_training

from rnnprop_cli.tui.keys import TABS
from rnnprop_cli.tui.screens.ask import Read


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "x.db"
    make_training(path)
    make_bench(path, horizons=(100, 200))
    return path


def test_runs_come_with_their_difference_to_the_best_tuned_baseline(bench):
    async def script(app, pilot):
        text = screen_text(app)
        assert "deep_mlp" in text
        assert "★adam" in text
        assert "best" in text
        assert "digits mlp sigmoid d1 x100" in text
        learned = next(
            line for line in text.splitlines() if "rnnprop" in line and "▶" not in line and "-" in line
        )
        assert "-" in learned
        assert {one.label for one in app.screen.plot.series} >= {"rnnprop", "sgd"}
        dashed = [one for one in app.screen.plot.series if one.dashed]
        assert [one.label for one in dashed] == ["adam lr .0312 ★"]

    play(bench, script)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_every_tab_opens_by_its_number(bench, size):
    async def script(app, pilot):
        for number, tab in enumerate(TABS, 1):
            await pilot.press(str(number))
            await settle(app, pilot)
            assert app.current_mode == tab
            assert tab == app.screen.TAB
            assert "q quit" in screen_text(app)

    play(bench, script, size=size)


def test_keys_of_the_table_and_the_plot_work_with_the_focus_on_either(bench):
    async def script(app, pilot):
        plot, state = app.screen.plot, app.state
        first = state.cursor_id
        await pilot.press("j")
        assert state.cursor_id != first
        await pilot.press("G", "g")
        assert state.cursor_id == first
        await pilot.press("y")
        assert not plot.log_y
        await pilot.press("y", "x")
        assert plot.log_x
        await pilot.press("x", "right", "L")
        assert plot.crosshair is not None
        await pilot.pause()
        assert f"@{plot.crosshair:,.0f}" in screen_text(app)
        await pilot.press("escape")
        assert plot.crosshair is None
        await pilot.press("plus", "less_than_sign", "0", "f")
        assert plot.follow
        await pilot.press("tab")
        assert app.focused is plot
        await pilot.press("y")
        assert not plot.log_y

    play(bench, script)


def test_bands_and_smoothing_cycle_and_the_title_says_so(bench):
    async def script(app, pilot):
        plot = app.screen.plot
        assert plot.notes == "IQR of 3 seeds · EMA .5"
        await pilot.press("b")
        await settle(app, pilot)
        assert plot.notes.startswith("min-max")
        await pilot.press("b", "s", "s")
        await settle(app, pilot)
        assert plot.notes == "median of 3 seeds"
        assert all(one.low is None for one in plot.series)

    play(bench, script, size=(160, 48))


def test_space_hides_and_shows_a_line(bench):
    async def script(app, pilot):
        before = len(app.screen.plot.series)
        await pilot.press("space")
        await settle(app, pilot)
        assert len(app.screen.plot.series) == before - 1
        await pilot.press("space")
        await settle(app, pilot)
        assert len(app.screen.plot.series) == before

    play(bench, script)


def test_a_filter_takes_regex_negation_and_keys_and_escape_clears_it(bench):
    async def script(app, pilot):
        every = len(app.screen.table.rows)
        await pilot.press("slash", *"adam")
        await pilot.press("space", *"!untuned", "space", *"horizon", "colon", "greater_than_sign", *"100")
        await pilot.pause()
        rows = [row for row in app.screen.table.rows if not row.is_heading]
        assert len(rows) == 2
        await pilot.press("enter")
        assert "/adam !untuned horizon:>100" in screen_text(app)
        assert not app.screen.has_class("-filtering")
        await pilot.press("escape")
        assert len(app.screen.table.rows) == every
        await pilot.press("slash", "left_square_bracket")
        assert app.state.filter.problem
        await pilot.press("escape")
        assert app.state.filter.text == ""

    play(bench, script)


def test_sorting_pinning_and_searches(bench):
    async def script(app, pilot):
        await pilot.press("o", "o", "o")
        assert app.state.sort == "loss"
        values = [app.state.bench.group(row.key).row.final.mean.centre for row in app.screen.table.rows]
        assert values == sorted(values)
        await pilot.press("O")
        assert [row.key for row in app.screen.table.rows][-1] == app.state.bench.group(
            app.screen.table.rows[-1].key
        ).id
        await pilot.press("p")
        assert app.state.pins == {app.state.cursor_id}
        before = len(app.screen.table.rows)
        await pilot.press("u")
        assert len(app.screen.table.rows) > before
        await pilot.press("c")
        await settle(app, pilot)
        assert app.current_mode == "compare"
        assert "1 pinned" in screen_text(app)

    play(bench, script)


def test_enter_opens_a_row_seed_by_seed(bench):
    async def script(app, pilot):
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Read)
        assert "what happened" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen.TAB == "runs"

    play(bench, script)


def test_full_screen_pane_and_back(bench):
    async def script(app, pilot):
        narrow = app.screen.plot.size.width
        await pilot.press("tab", "z")
        await pilot.pause()
        assert app.screen.plot.size.width > narrow
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen.plot.size.width == narrow

    play(bench, script)
