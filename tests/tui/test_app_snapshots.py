"""Whole screens as text, kept beside the tests: a change of any of them is read by a person."""

import re

import pytest
from app_driver import check_snapshot, play, screen_text, settle
from synthetic_store import make_bench, make_training


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshots") / "x.db"
    make_training(path)
    make_bench(path, horizons=(100, 200))
    return path


@pytest.mark.parametrize(
    ("name", "size", "keys"),
    [
        ("runs-80x24", (80, 24), ["j"]),
        ("runs-160x48", (160, 48), ["j", "right"]),
        ("matrix-80x24", (80, 24), ["2"]),
        ("compare-80x24", (80, 24), ["3"]),
        ("train-80x24", (80, 24), ["6"]),
    ],
)
def test_a_screen_looks_as_it_did(database, name, size, keys):
    async def script(app, pilot):
        for key in keys:
            await pilot.press(key)
            await settle(app, pilot)
        text = re.sub(r"\d\d-\d\d \d\d:\d\d", "MM-DD hh:mm", screen_text(app))
        check_snapshot(f"{name}.txt", text)

    play(database, script, size=size)


def test_colours_of_a_screen_are_as_they_were(database):
    async def script(app, pilot):
        await pilot.press("2")
        await settle(app, pilot)
        svg = re.sub(r"terminal-\d+", "terminal", app.export_screenshot(title="rnnprop"))
        check_snapshot("matrix-80x24-light.svg", svg + "\n")

    play(database, script, theme="light")
