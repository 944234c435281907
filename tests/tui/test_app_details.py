"""What a newcomer stumbled over: each a fact about a screen."""

import json
import os
from dataclasses import replace

import pytest
from app_driver import play, screen_text, settle, until
from synthetic_store import BENCH, add_done, make_bench, make_troubled_bench, run_facts, seeds_of

from rnnprop_cli.store.lock import lock_path
from rnnprop_cli.store.writer import Writer
from rnnprop_cli.tui.run_rows import short_percent
from rnnprop_cli.tui.screens.base import BaseScreen
from rnnprop_cli.tui.widgets.heat import HeatTable
from rnnprop_cli.tui.widgets.table import Column, column_widths, fitting_columns

LONG = "deep_mlp_on_cifar10_with_replacement_and_ten_seeds_{}"


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """One problem: three optimizers, one of them untuned too."""
    path = tmp_path_factory.mktemp("single") / "x.db"
    make_bench(path, depths=(1,))
    return path


def test_a_single_problem_is_a_bar_list_of_all_optimizers(single):
    async def script(app, pilot):
        await pilot.press("2")
        await settle(app, pilot)
        text = screen_text(app)
        assert "bars: final loss" in text
        assert [row.label for row in app.screen.query_one(HeatTable)._rows] == [
            ("rnnprop",),
            ("adam",),
            ("sgd",),
        ]
        bars = [line.count("▆") for line in text.splitlines() if "▆" in line]
        assert bars == sorted(bars)
        assert len(bars) == 3

    play(single, script)


def test_letters_run_down_the_table_and_the_values_follow_them(single):
    async def script(app, pilot):
        await pilot.press("j", "space", "space")
        await settle(app, pilot)
        shown = [row.cells[0].text.strip() for row in app.screen.table.rows if not row.is_heading]
        assert shown == ["a", "b", "c", "d"]
        values = next(line for line in screen_text(app).splitlines() if "last batch" in line)
        assert values.index(" a .") < values.index(" b .")

    play(single, script)


def test_the_loss_of_the_last_batch_is_not_called_final(single):
    async def script(app, pilot):
        text = screen_text(app)
        assert "Δfinal%" in text
        assert "last batch" in text
        assert "%" not in text.split("last batch")[1].splitlines()[0]  # only the table compares at the end
        await pilot.press("right")
        await settle(app, pilot)
        assert "batch @" in screen_text(app)
        assert "%" in screen_text(app).split("batch @")[1]

    play(single, script)


def test_a_row_of_a_search_puts_no_loss_among_differences(single):
    async def script(app, pilot):
        await pilot.press("u")
        await settle(app, pilot)
        searches = [
            row for row in app.screen.table.rows if not row.is_heading and "search" in row.cells[2].text
        ]
        assert len(searches) == 4
        assert {row.cells[-1].text for row in searches} == {""}

    play(single, script)


def test_a_rate_is_never_cut_and_no_two_rows_look_the_same(tmp_path):
    path = tmp_path / "x.db"
    names = [
        "adam beta1=0.9 beta2=0.999",
        "adam beta1=0.95 beta2=0.999",
        "schedule-free-adamw",
        "schedule-free-adam",
    ]
    with Writer.open(path) as writer:
        experiment = writer.begin_experiment(BENCH)
        for name in names:
            add_done(writer, experiment, seeds_of(name, 2, lr=2.0**-15))

    async def script(app, pilot):
        rows = [row for row in app.screen.table.rows if not row.is_heading]
        assert len({row.cells[2].text for row in rows}) == len(names)
        text = screen_text(app)
        assert text.count("3.05e-5") == len(names)
        for row in rows:
            assert row.cells[2].text in text

    play(path, script)


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
def test_the_chooser_keeps_names_and_gives_up_what_stands_beside_them(tmp_path, size):
    path = tmp_path / "x.db"
    with Writer.open(path) as writer:
        for number in range(2):
            facts = replace(BENCH, name=LONG.format(number), spec_sha256=str(number) * 64)
            experiment = writer.begin_experiment(facts)
            add_done(writer, experiment, seeds_of("adam", 2))

    async def script(app, pilot):
        await pilot.press("w")
        await pilot.pause()
        text = screen_text(app)
        for number in range(2):
            assert f"seeds_{number}" in text  # cut in the middle, not at the end that tells them apart

    play(path, script, size=size)


@pytest.mark.parametrize(
    ("percent", "text"),
    [
        (-7.71, "-7.7"),
        (310.04, "+310"),
        (1972.0, "x20.7"),
        (99_849.0, "x999"),
        (663_000.0, "x6,631"),
        (5.2e9, "x5.2e7"),
    ],
)
def test_a_difference_fits_its_column_however_large(percent, text):
    assert short_percent(percent) == text
    assert len(text) <= 7


def test_columns_go_one_by_one_until_the_name_has_room():
    columns = [
        Column("kind", 5, priority=3),
        Column("name", least=28, names=True),
        Column("runs", 10, priority=2),
        Column("created", 19, priority=1),
    ]
    shown = {
        total: [column.title for column in fitting_columns(columns, total)] for total in (70, 50, 36, 20)
    }
    assert shown == {
        70: ["kind", "name", "runs", "created"],
        50: ["kind", "name", "runs"],
        36: ["kind", "name"],
        20: ["name"],
    }
    assert column_widths(fitting_columns(columns, 20), 20) == [20]


def test_an_unknown_key_of_the_filter_is_named_at_once_and_hides_nothing(single):
    async def script(app, pilot):
        every = len(app.screen.table.rows)
        await pilot.press("slash", *"dept", "colon", *"2")
        await settle(app, pilot)
        assert "no key dept: did you mean depth?" in screen_text(app)
        assert len(app.screen.table.rows) == every
        await pilot.press("enter")
        await settle(app, pilot)
        assert "did you mean depth?" in screen_text(app)

    play(single, script)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_the_header_says_how_far_a_live_bench_is(tmp_path, size):
    path = tmp_path / "x.db"
    with Writer.open(path) as writer:
        experiment = writer.begin_experiment(BENCH)
        add_done(writer, experiment, seeds_of("adam", 3))
        running = run_facts("sgd", 0)
        writer.add_runs(experiment, [running])
        writer.mark_running(experiment, [running.key])

    async def script(app, pilot):
        header = screen_text(app).splitlines()[0]
        assert "● 75%" in header
        assert "deep_mlp" in header
        await until(pilot, lambda: app.screen.show_state() or "to go" in screen_text(app).splitlines()[0])
        assert "deep_mlp" in screen_text(app).splitlines()[0]

    play(path, script, size=size)


def test_small_screens_draw_lines_without_bands(single):
    async def small(app, pilot):
        assert not app.screen.plot.show_bands
        assert "IQR" not in app.screen.plot.notes

    async def usual(app, pilot):
        assert app.screen.plot.show_bands

    play(single, small, size=(60, 15))
    play(single, usual, size=(80, 24))


def test_starting_beside_a_writer_says_how_both_can_write(single, tmp_path, monkeypatch):
    (tmp_path / "a.toml").write_text('name = "a"\noptimizers = []\n')
    monkeypatch.chdir(tmp_path)
    lock = lock_path(single)
    before = lock.read_bytes() if lock.exists() else b""
    lock.write_text(json.dumps({"pid": os.getpid(), "command": "rnnprop train"}))

    async def script(app, pilot):
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert "rnnprop db merge" in " ".join(screen_text(app).split())
        assert "x-2.db" in screen_text(app)

    try:
        play(single, script, size=(100, 40))
    finally:
        lock.write_bytes(before)


def test_every_screen_of_a_troubled_bench_opens_without_colour(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    path = tmp_path / "x.db"
    make_troubled_bench(path)

    async def script(app, pilot):
        assert app.no_color
        for number in "12345":
            await pilot.press(number)
            await settle(app, pilot)
            assert isinstance(app.screen, BaseScreen)
            assert "q quit" in screen_text(app)
        await pilot.press("3")
        await settle(app, pilot)
        assert "heavy: the best tuned baseline" in screen_text(app)

    play(path, script)
