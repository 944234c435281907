"""Every key is written once: what is bound is explained, and what is explained is bound."""

import pytest
from textual.binding import Binding

from rnnprop_cli.tui import keys
from rnnprop_cli.tui.app import RnnpropApp
from rnnprop_cli.tui.help_text import SECTIONS, SIGNS
from rnnprop_cli.tui.plot import Plot
from rnnprop_cli.tui.screens.ask import Layer, Read
from rnnprop_cli.tui.screens.base import BaseScreen
from rnnprop_cli.tui.widgets.heat import HeatTable
from rnnprop_cli.tui.widgets.lines import Lines
from rnnprop_cli.tui.widgets.table import Table

SCREENS = list(RnnpropApp.MODES.values())
BINDERS = [RnnpropApp, BaseScreen, *SCREENS, Layer, Read, Plot, Table, HeatTable, Lines]
EXPLAINED = {key.id for _, section in SECTIONS for key in section}
OF_LAYERS = {keys.CLOSE.id, keys.CLOSE_READ.id, keys.HIDE.id}  # the layers and the line of BACK say these


def bound(owner: type) -> list[Binding]:
    return [each for each in vars(owner).get("BINDINGS", []) if isinstance(each, Binding)]


def key_id(binding: Binding) -> str:
    name, _, number = (binding.id or "").rpartition("-")
    return name if number.isdigit() else binding.id or ""


@pytest.mark.parametrize("owner", BINDERS)
def test_every_key_that_is_bound_is_explained(owner: type) -> None:
    assert {key_id(each) for each in bound(owner)} <= EXPLAINED | OF_LAYERS


def test_every_key_that_is_explained_is_bound_somewhere() -> None:
    everywhere = {key_id(each) for owner in BINDERS for each in bound(owner)}
    unbound = {key.id for _, section in SECTIONS for key in section if key.bound} - everywhere
    assert unbound == set()
    assert all(not key.bound for key in SIGNS)


@pytest.mark.parametrize("owner", BINDERS)
def test_no_key_does_two_things_in_one_place(owner: type) -> None:
    names = [name for each in bound(owner) for name in each.key.split(",")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("screen", SCREENS)
def test_the_line_at_the_bottom_has_a_word_for_every_key(screen: type[BaseScreen]) -> None:
    assert screen.KEYS
    assert all(key.word and key.in_line[0] for key in screen.KEYS)


def test_a_forwarded_key_hands_on_its_action_with_its_arguments() -> None:
    actions = [
        each.action for each in keys.forwarded("plot", (keys.LOG_Y, keys.ZOOM)) if isinstance(each, Binding)
    ]
    assert actions == ["plot('toggle_log_y')", "plot('zoom', 2.0)", "plot('zoom', 0.5)", "plot('reset_view')"]
