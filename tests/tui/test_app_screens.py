"""The screens beside Runs, and what works on every screen."""

from pathlib import Path

import pytest
from app_driver import play, screen_text, settle, until
from synthetic_store import make_bench, make_training
from textual.widgets import Input

from rnnprop_cli.tui.screens.ask import Ask, Choose
from rnnprop_cli.tui.screens.compare import _fitting
from rnnprop_cli.tui.themes import THEME_NAMES
from rnnprop_cli.tui.widgets.bars import Part


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "x.db"
    make_training(path)
    make_bench(path, horizons=(100, 200))
    return path


def test_matrix_pivots_moves_and_leads_to_its_runs(bench):
    async def script(app, pilot):
        await pilot.press("2")
        await settle(app, pilot)
        text = screen_text(app)
        assert "columns: horizon" in text
        assert "paired diff" in text
        await pilot.press("right", "down")
        assert app.screen.heat.cursor == (1, 1)
        await pilot.press("v")
        await pilot.pause()
        assert "columns: depth" in screen_text(app)
        await pilot.press("a")
        await pilot.pause()
        assert "all optimizers" in screen_text(app)
        wanted = app.screen._chosen().id
        await pilot.press("enter")
        await settle(app, pilot)
        assert app.current_mode == "runs"

        assert app.state.cursor_id == wanted

    play(bench, script)


def test_compare_shows_curves_and_final_loss_against_learning_rate(bench):
    async def script(app, pilot):
        await pilot.press("3")
        await settle(app, pilot)
        first = app.screen.query_one("#panel0")
        rates = app.screen.query_one("#panel1")
        assert {one.label for one in first.series} >= {"rnnprop", "sgd"}
        assert rates.log_x
        level = next(one for one in rates.series if one.label == "rnnprop")
        assert level.y[0] == level.y[-1]
        assert next(one for one in rates.series if one.label.startswith("adam")).x.size == 4
        await pilot.press("pagedown")
        assert app.screen._first > 0
        await pilot.press("pageup", "v")
        assert app.screen._mode == "curves"
        await pilot.press("v")
        assert app.screen._mode == "rates"

    play(bench, script)


def test_log_names_what_happened_and_filters(bench):
    async def script(app, pilot):
        await pilot.press("4")
        await settle(app, pilot)
        assert "search over 4 rates, 2 seeds each" in screen_text(app)
        await pilot.press("G")
        await pilot.pause()
        assert "started" in screen_text(app)
        assert "created" in screen_text(app)
        await pilot.press("slash", *"kind", "colon", *"created", "enter")
        assert len(app.screen.table.rows) == 1

    play(bench, script, size=(160, 48))


def test_spec_is_shown_as_written_and_resolved(bench):
    async def script(app, pilot):
        await pilot.press("5")
        await settle(app, pilot)
        assert "# made up" in screen_text(app)
        assert "rnnprop bench --spec deep_mlp.toml" in screen_text(app)
        await pilot.press("v")
        await pilot.pause()
        assert '"seeds": 3' in screen_text(app)

    play(bench, script)


def test_train_shows_losses_rate_and_the_chosen_checkpoint(bench):
    async def script(app, pilot):
        await pilot.press("6")
        await settle(app, pilot)
        text = screen_text(app)
        assert "400 of 400" in text
        assert "400" in next(line for line in text.splitlines() if "★" in line)
        assert app.screen.plot.series[0].label == "moving average"
        await pilot.press("s", "y", "right")
        assert app.screen.plot.crosshair is not None
        assert app.state.experiment.facts.kind == "train"

    play(bench, script)


def test_a_legend_says_that_there_is_more_instead_of_cutting_a_name():
    parts = [Part(" a sgd "), Part(" b momentum "), Part(" c adam ")]
    shown = {width: "".join(part.text for part in _fitting(parts, width)) for width in (27, 26, 20, 3)}
    assert shown == {
        27: " a sgd  b momentum  c adam ",
        26: " a sgd  b momentum  …",
        20: " a sgd  …",
        3: " …",
    }


def test_the_log_of_a_meta_training_ends_with_its_start(bench):
    async def script(app, pilot):
        await pilot.press("6", "4")
        await settle(app, pilot)
        kinds = [line.kind for line in app.screen._lines]
        assert (kinds[0], kinds[1], kinds[-1]) == ("done", "checkpoint", "created")

    play(bench, script)


def test_experiments_are_chosen_from_a_list_and_by_brackets(bench):
    async def script(app, pilot):
        await pilot.press("w")
        await pilot.pause()
        assert isinstance(app.screen, Choose)
        await pilot.press("G", "enter")
        await settle(app, pilot)
        assert app.current_mode == "train"
        await pilot.press("right_square_bracket")
        await settle(app, pilot)
        assert app.current_mode == "runs"

    play(bench, script)


def test_help_lists_the_keys_and_the_palette_opens(bench):
    async def script(app, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Everywhere" in screen_text(app)
        await pilot.press("escape", "f1", "escape", "ctrl+p")
        await until(pilot, lambda: app.screen.query(Input))
        await pilot.press(*"matrix")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "matrix")

    play(bench, script)


def test_t_goes_round_the_themes_and_the_plot_follows(bench):
    async def script(app, pilot):
        for name in [*THEME_NAMES[1:], THEME_NAMES[0]]:
            await pilot.press("t")
            await pilot.pause()
            assert app.theme == name
            assert app.screen.plot.palette_name == name

    play(bench, script)


def test_export_writes_csv_and_svg_and_never_over_a_file(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def script(app, pilot):
        for key in ("t", "c", "s", "t"):
            await pilot.press("e")
            await pilot.pause()
            assert isinstance(app.screen, Ask)
            await pilot.press(key)
            await pilot.pause(0.1)

    play(bench, script)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "deep_mlp-curves.csv",
        "deep_mlp-screen.svg",
        "deep_mlp-table-2.csv",
        "deep_mlp-table.csv",
    ]
    table = (tmp_path / "deep_mlp-table.csv").read_text()
    assert "difference_percent" in table.splitlines()[0]
    assert "optimizer,phase" in (tmp_path / "deep_mlp-curves.csv").read_text().splitlines()[0]
    assert (
        "export" not in (tmp_path / "deep_mlp-screen.svg").read_text().replace("e export", "").lower()[-2000:]
    )


def test_copy_hands_the_row_to_the_terminal(bench):
    async def script(app, pilot):
        await pilot.press("ctrl+o")
        assert app.clipboard.startswith("optimizer")

    play(bench, script)


def test_the_mouse_chooses_rows_and_tabs(bench):
    async def script(app, pilot):
        await pilot.click("#runs", offset=(8, 4))
        await pilot.pause()
        assert app.state.cursor_id == app.screen.table.rows[2].key
        header = app.screen.query_one("#header")
        await pilot.click("#header", offset=(header.text.index("Matrix") + 80 - len(header.text), 0))
        await pilot.pause()

    play(bench, script)


def test_q_quits(bench):
    async def script(app, pilot):
        await pilot.press("q")
        await pilot.pause()

    assert play(bench, script).return_code == 0
