"""The line at the top: what is looked at, how it stands and how long it goes on, and the tabs."""

import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from rich.cells import cell_len

from rnnprop_cli.records import Status
from rnnprop_cli.tui.keys import TABS
from rnnprop_cli.tui.reading import stalled
from rnnprop_cli.tui.state import ViewState, progress_in_front
from rnnprop_cli.tui.themes import Glyphs, Look
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.view.numbers import format_remaining
from rnnprop_cli.view.shorten import shorten

_SHOWN: Final[tuple[Status, ...]] = ("running", "done", "failed", "diverged", "interrupted", "queued")
_NAME_COLUMNS: Final = 14  # of the experiment's name, before anything else goes

Tabs = Literal["wide", "close", "numbers"]


@dataclass(frozen=True)
class Layout:
    """What a header has beside the experiment's name and its tally."""

    brand: bool
    tabs: Tabs
    time: bool  # how long the experiment goes on yet


# The first one that leaves room for the name is taken.
_LAYOUTS: Final = (
    Layout(brand=True, tabs="wide", time=True),
    Layout(brand=True, tabs="close", time=True),
    Layout(brand=False, tabs="close", time=True),
    Layout(brand=False, tabs="close", time=False),
    Layout(brand=False, tabs="numbers", time=True),
    Layout(brand=False, tabs="numbers", time=False),
)

Parts = list[Part]


def header_parts(
    state: ViewState, active: str, look: Look, signs: Glyphs, width: int, *, colorless: bool
) -> tuple[Parts, Parts]:
    """The left and the right of the line.

    Args:
        state: what is looked at.
        active: the tab in front.
        look, signs: colours and characters.
        width: of the line.
        colorless: tell the active tab by brackets.
    """
    experiment = state.experiment
    name = "" if experiment is None else experiment.facts.name
    counts = state.snapshot.counts.get(experiment.id, Counter()) if experiment else Counter()
    tally = [
        Part(f" {signs.statuses[status]} {counts[status]}", look.status_color(status))
        for status in _SHOWN
        if counts.get(status)
    ]
    for layout in _LAYOUTS:
        brand = Part(" rnnprop " if layout.brand else " ", look.palette.accent, bold=True)
        right = [*_tabs(active, layout.tabs, look, colorless=colorless), *_live(state, layout, look, signs)]
        room = width - sum(cell_len(part.text) for part in (brand, *tally, *right)) - 2
        if room >= min(cell_len(name), _NAME_COLUMNS):
            break
    return [brand, Part(shorten(name, max(room, 0)), bold=True), *tally], right


def _tabs(active: str, how: Tabs, look: Look, *, colorless: bool) -> Parts:
    palette, parts = look.palette, []
    for number, tab in enumerate(TABS, 1):
        here = tab == active
        label = f"{number} {tab.capitalize()}" if how == "wide" else f"{number}{tab.capitalize()}"
        if how == "numbers" and not here:
            label = str(number)
        text = f"[{label}]" if here and colorless else f" {label} " if here else label
        ground, color = (palette.series[0], palette.ground) if here else (None, palette.text)
        parts += [Part(text, color, ground, here, f"show_tab('{tab}')"), Part("  " if how == "wide" else " ")]
    return parts


def _live(state: ViewState, layout: Layout, look: Look, signs: Glyphs) -> Parts:
    """Whether something runs, how far it is and how long it goes on."""
    if state.unavailable is not None and state.loaded:
        return [Part(f"{signs.statuses['failed']} gone ", look.bad, bold=True)]
    experiment = state.experiment
    if experiment is None or not state.snapshot.counts.get(experiment.id, Counter())["running"]:
        return []
    if stalled(experiment, state.snapshot.holder):
        return [Part("stalled ", look.bad, bold=True)]
    found = progress_in_front(state, datetime.now(UTC))
    # 100 % is said when it is done
    how_far = "live" if found is None else f"{min(math.floor(100 * found.share), 99)}%"
    if found is not None and found.remaining_s is not None and layout.time:
        how_far += f", {format_remaining(found.remaining_s)} to go"
    return [Part(f"{signs.statuses['running']} {how_far} ", look.busy)]
