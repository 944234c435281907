"""Starting a bench or a train from the app, interrupting it, and leaving while it runs."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from app_driver import play, screen_text, until
from synthetic_store import make_bench

from rnnprop_cli.errors import RunError, SpecError
from rnnprop_cli.spec.shipped import shipped_specs
from rnnprop_cli.tui import launch
from rnnprop_cli.tui.launch import Child, command_of, find_specs, read_spec
from rnnprop_cli.tui.screens.ask import Ask, Choose

SLEEPER = "import sys,time\nprint('begun', *sys.argv[1:], flush=True)\ntime.sleep(60)"
SPEC = 'name = "sleepy"\ndescription = "sleeps"\n[[optimizers]]\nkind = "adam"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench_specs").mkdir()
    (tmp_path / "bench_specs" / "sleepy.toml").write_text(SPEC)
    (tmp_path / "bench_specs" / "broken.toml").write_text("name = ")
    (tmp_path / "pyproject.toml").write_text("[tool.x]\n")
    monkeypatch.setattr(launch, "PROGRAM", (sys.executable, "-c", SLEEPER))
    make_bench(tmp_path / "x.db", depths=(1,))
    return tmp_path


def test_specs_are_found_and_told_apart(folder):
    (folder / "bench_specs" / "meta.toml").write_text('name = "meta"\n[optimizer]\nkind = "rnnprop"\n')
    os.mkfifo(folder / "pipe.toml")
    (folder / "long.toml").write_text("a." * 400_000 + "b = 1")
    started = time.monotonic()
    specs, left_out = find_specs(folder)
    assert time.monotonic() - started < 2  # nothing is waited for
    assert [(spec.kind, spec.name) for spec in specs[:2]] == [("train", "meta"), ("bench", "sleepy")]
    assert [str(spec.path) for spec in specs[2:]] == list(shipped_specs())  # which `--spec` takes by name
    assert [Path(text.split(":")[0]).name for text in left_out] == ["long.toml", "pipe.toml", "broken.toml"]
    assert "is a pipe" in left_out[1]
    for name in ("absent.toml", "pyproject.toml", "pipe.toml"):
        with pytest.raises(SpecError):
            read_spec(folder / name)


def test_the_command_names_the_database_and_the_spec(folder):
    spec = find_specs(folder)[0][0]
    assert command_of(Path("x.db"), spec) == ["--db", "x.db", "bench", "--spec", str(spec.path)]


def test_a_child_has_its_own_session_and_says_how_it_ended(folder):
    child = Child(find_specs(folder)[0][0], ["a", "b"])
    try:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
        while not child.output():
            pass
        assert child.output() == ["begun a b"]
        child.interrupt()
        assert child._process.wait(10) in (1, -signal.SIGINT)
        assert "KeyboardInterrupt" in child.output()[-1]
    finally:
        child._process.kill()
        child.close()
    assert not child.log_path.exists()


def test_a_program_that_cannot_start_is_an_error_in_words(folder, monkeypatch):
    monkeypatch.setattr(launch, "PROGRAM", ("/no/such/program",))
    with pytest.raises(RunError, match="could not start"):
        Child(find_specs(folder)[0][0], [])


def test_starting_asks_first_and_interrupting_too(folder):
    async def script(app, pilot):
        await pilot.press("i")
        assert not app.works.is_running
        await pilot.press("r")
        await pilot.pause()
        assert isinstance(app.screen, Choose)
        assert "sleeps" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        assert "bench --spec" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert not app.works.is_running
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("y")
        await until(pilot, lambda: app.works.is_running and app.works.log())
        assert "begun --db" in app.works.log()[0].text
        await pilot.pause()
        assert "i interrupts" in screen_text(app)
        await pilot.press("i")
        await pilot.pause()
        await pilot.press("y")
        await until(pilot, lambda: not app.works.is_running)

    play(folder / "x.db", script)


def _wait_for_end(pid: int) -> None:
    """Wait for a child of ours that may have been waited for already."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


@pytest.mark.parametrize(("key", "goes_on"), [("l", True), ("i", False)])
def test_quitting_with_a_child_asks_what_becomes_of_it(folder, key, goes_on):
    found = {}

    async def script(app, pilot):
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("y")
        await until(pilot, lambda: app.works.is_running and app.works.log())
        found["process"] = app.works.child._process
        found["log"] = app.works.child.log_path
        await pilot.press("q")
        await pilot.pause()
        assert "leave it running" in screen_text(app)
        await pilot.press("escape", "q")
        await pilot.pause()
        await pilot.press(key)
        await pilot.pause()

    play(folder / "x.db", script)
    process = found["process"]
    try:
        if goes_on:
            os.kill(process.pid, 0)
            assert found["log"].exists()
        else:
            _wait_for_end(process.pid)
    finally:
        if goes_on:
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
        found["log"].unlink(missing_ok=True)
