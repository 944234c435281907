"""What ? shows: every key, by where it works."""

import textwrap
from typing import Final

from rnnprop_cli.tui import keys
from rnnprop_cli.tui.keys import Key
from rnnprop_cli.tui.plot import Palette
from rnnprop_cli.tui.state import FILTER_KEYS
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.lines import Line

_KEY_COLUMNS: Final = 22
_FILTER_KEYS: Final = Key("filter-keys", "", f"keys: {' '.join(FILTER_KEYS)}")
SIGNS: Final = (
    Key(
        "difference",
        "Δfinal%",
        "final loss against the best tuned baseline, paired by seed; below 0 is better",
    ),
    Key("win", "bold green", "a win: the whole 95 % interval of the difference lies below 0"),
    Key(
        "best",
        "★ dashed",
        "that baseline (a heavy line where there is no colour); its learning rate is named",
    ),
    Key("states", "DIV FAIL STOP STALL", "diverged; failed; interrupted; its process is gone"),
)
SECTIONS: Final[tuple[tuple[str, tuple[Key, ...]], ...]] = (
    ("Everywhere", (*keys.EVERYWHERE, keys.BACK, keys.FULL, keys.FILTER, _FILTER_KEYS)),
    (
        "Runs",
        (
            *(keys.ROWS, keys.OPEN, keys.DRAW, keys.PIN, keys.COMPARE, keys.SORT, keys.REVERSE),
            keys.SEARCHES,
        ),
    ),
    ("Plots", (*keys.OF_A_PLOT, keys.ENDS, keys.BAND, keys.SMOOTH)),
    (
        "Matrix, Compare, Spec",
        (keys.CELLS, keys.COLUMNS, keys.BASELINES, keys.MODE, keys.PANELS, keys.RESOLVED),
    ),
    ("Signs", SIGNS),
)


def help_lines(palette: Palette, columns: int) -> list[Line]:
    """All sections, broken to fit."""
    lines: list[Line] = []
    for title, explained in SECTIONS:
        lines += [[], [Part(title, palette.accent, bold=True)]]
        for key in explained:
            for number, piece in enumerate(textwrap.wrap(key.does, max(columns - _KEY_COLUMNS, 10))):
                shown = key.shown if not number else ""
                lines.append(
                    [Part(f"  {shown:<{_KEY_COLUMNS - 2}}", palette.series_color(0), bold=True), Part(piece)]
                )
    return lines
