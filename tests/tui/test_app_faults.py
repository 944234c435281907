"""What goes wrong around the app must not end it: absent, newer, deleted databases, NaN, evil names, tiny screens."""

import socket
import sqlite3
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from app_driver import play, screen_text, settle, until
from synthetic_store import (
    BENCH,
    EVIL,
    add_done,
    losses,
    make_bench,
    make_training,
    make_troubled_bench,
    run_facts,
    seeds_of,
)

from rnnprop_cli.records import LOSS, CurveBlock
from rnnprop_cli.store.writer import Writer
from rnnprop_cli.tui.keys import TABS
from rnnprop_cli.tui.plot import Charset


async def every_tab(app, pilot):
    texts = []
    for number in range(1, len(TABS) + 1):
        await pilot.press(str(number))
        await settle(app, pilot)
        texts.append(screen_text(app))
    return "\n".join(texts)


def test_an_absent_database_says_what_to_run_and_fills_once_it_is_there(tmp_path):
    path = tmp_path / "x.db"

    async def script(app, pilot):
        await until(pilot, lambda: app.state.unavailable)
        await pilot.pause()
        assert "rnnprop bench --spec" in screen_text(app)
        await every_tab(app, pilot)
        await pilot.press("1")
        make_bench(path)
        await until(pilot, lambda: app.state.loaded)
        await settle(app, pilot)
        assert "★adam" in screen_text(app)

    play(path, script, loaded=False)
    assert not list(tmp_path.glob("*.new"))


def test_an_empty_database_says_what_to_run(tmp_path):
    path = tmp_path / "x.db"
    with Writer.open(path):
        pass

    async def script(app, pilot):
        assert "holds no runs yet" in await every_tab(app, pilot)

    play(path, script)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (b"no database at all" * 200, "not a SQLite")]
)
def test_a_file_that_is_no_database_is_named(tmp_path, content, words):
    path = tmp_path / "x.db"
    path.write_bytes(content)

    async def script(app, pilot):
        await until(pilot, lambda: app.state.unavailable)
        assert words in app.state.unavailable
        await every_tab(app, pilot)

    play(path, script, loaded=False)
    assert path.read_bytes() == content


def test_a_database_of_a_newer_version_is_refused_in_words(tmp_path):
    path = tmp_path / "x.db"
    make_bench(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    async def script(app, pilot):
        await until(pilot, lambda: app.state.unavailable)
        await pilot.pause()
        assert "newer rnnprop" in screen_text(app)

    play(path, script, loaded=False)


def test_a_database_deleted_while_open_leaves_the_last_view_and_a_word(tmp_path):
    path = tmp_path / "x.db"
    make_bench(path)

    async def script(app, pilot):
        for file in tmp_path.glob("x.db*"):
            file.unlink()
        await until(pilot, lambda: app.state.unavailable)
        await pilot.pause()
        assert "gone" in screen_text(app)
        assert "★adam" in screen_text(app)
        await every_tab(app, pilot)
        await pilot.press("1")
        make_bench(path, depths=(3,))
        await until(pilot, lambda: app.state.unavailable is None)
        await settle(app, pilot)
        assert "d3" in screen_text(app)

    play(path, script)


def test_trouble_is_shown_with_its_reason(tmp_path):
    path = tmp_path / "x.db"
    make_troubled_bench(path)

    async def script(app, pilot):
        text = screen_text(app)
        for word in ("DIV 1/3", "FAILED", "STOPPED", "queued"):
            assert word in text, word
        reasons = {group.facts.optimizer: group.reason for group in app.state.bench.groups}
        assert "the first at step 53" in reasons["sgd"]
        assert "no reason" not in reasons["momentum"]
        assert "interrupted" in reasons["rmsprop"]
        await pilot.press("4")
        await settle(app, pilot)
        assert "RuntimeError" in screen_text(app)

    play(path, script, size=(170, 48))


@pytest.mark.parametrize("charset", [Charset.BRAILLE, Charset.ASCII])
def test_no_control_character_and_no_nan_gets_in_the_way(tmp_path, charset):
    path = tmp_path / "x.db"
    make_troubled_bench(path)
    make_training(path, status="diverged")

    async def script(app, pilot):
        text = await every_tab(app, pilot)
        await pilot.press("1", "w")
        await pilot.pause()
        await pilot.press("enter")
        await settle(app, pilot)
        await pilot.press("1")
        for _ in range(6):
            await pilot.press("down", "enter")
            await pilot.pause()
            text += screen_text(app)
            await pilot.press("escape", "y")
        bad = [c for c in text if c != "\n" and unicodedata.category(c).startswith("C")]
        assert not bad
        await pilot.press("ctrl+o")
        assert "\x1b" not in app.clipboard

    assert not EVIL.isprintable()
    play(path, script, charset=charset)


@pytest.mark.parametrize("size", [(1, 1), (12, 4), (40, 12), (300, 90)])
def test_no_size_is_too_small_or_too_large(tmp_path, size):
    path = tmp_path / "x.db"
    make_training(path)
    make_bench(path)

    async def script(app, pilot):
        await every_tab(app, pilot)
        for keys in (
            ("1", "enter", "escape"),
            ("question_mark", "escape"),
            ("e", "escape"),
            ("w", "escape"),
            ("z",),
        ):
            await pilot.press(*keys)
        await pilot.resize_terminal(80, 24)
        await settle(app, pilot)

    play(path, script, size=size)


@pytest.mark.parametrize("theme", ["dark", "light", "high-contrast"])
def test_without_colour_every_screen_can_be_drawn(tmp_path, theme, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    path = tmp_path / "x.db"
    make_training(path)
    make_bench(path)

    async def script(app, pilot):
        assert app.no_color
        text = await every_tab(app, pilot)
        assert "[1 Runs]" in text
        await pilot.press("1", "j", "question_mark")
        await pilot.pause()

    play(path, script, theme=theme)


def test_runs_of_a_writer_that_was_killed_are_called_stalled(tmp_path):
    path = tmp_path / "x.db"
    run = run_facts("adam", 0)
    with Writer.open(path) as writer:
        experiment = writer.begin_experiment(replace(BENCH, host=f"{socket.gethostname()} Linux x"))
        writer.add_runs(experiment, [run])
        writer.mark_running(experiment, [run.key])
        writer.append_curves(experiment, [CurveBlock(run.key, LOSS, 0, losses(run, 40))])

    async def script(app, pilot):
        text = screen_text(app)
        assert "STALL" in text
        assert "stalled" in text
        assert app.screen.plot.series[0].x.size == 40

    Path(f"{path}.lock").write_text('{"pid": 999999999999, "command": "rnnprop bench"}')
    play(path, script)


def test_what_another_connection_writes_appears_without_a_key(tmp_path):
    path = tmp_path / "x.db"
    run = run_facts("rnnprop", 0)
    values = losses(run)

    async def script(app, pilot):
        with Writer.open(path) as writer:
            experiment = writer.begin_experiment(BENCH)
            writer.add_runs(experiment, [run])
            await until(pilot, lambda: app.state.bench and len(app.state.bench.groups) == 2)
            writer.mark_running(experiment, [run.key])
            for done in (0, 25, 50, 75):
                writer.append_curves(experiment, [CurveBlock(run.key, LOSS, done, values[done : done + 25])])
                await until(pilot, lambda done=done: done + 25 in app.state.bench.steps_done.values())
                await settle(app, pilot)
                assert f"{done + 25}%" in screen_text(app)
                lengths = {one.label: one.x.size for one in app.screen.plot.series}
                assert lengths["rnnprop"] >= done
            assert "● 99%" in screen_text(app).splitlines()[0]  # all steps are there, the result is not

    with Writer.open(path) as writer:
        add_done(writer, writer.begin_experiment(BENCH), seeds_of("adam"))
    play(path, script)


def test_looking_leaves_the_database_as_it_was(tmp_path):
    path = tmp_path / "x.db"
    make_bench(path)
    before = path.read_bytes()
    play(path, every_tab)
    assert path.read_bytes() == before
    assert {
        name for name in (each.name for each in tmp_path.iterdir()) if not name.endswith(("-shm", "-wal"))
    } == {
        "x.db",
        "x.db.lock",
    }
