"""What ? shows: every key, by where it works."""

import textwrap
from typing import Final

from rnnprop_cli.tui.plot import Palette
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.lines import Line

_KEY_COLUMNS: Final = 22
SECTIONS: Final[tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = (
    (
        "Everywhere",
        (
            ("1-6", "Runs, Matrix, Compare, Log, Spec, Train"),
            ("q  ctrl+q", "quit; asks if a process that was started here still runs"),
            ("esc", "one layer back: crosshair, full-screen pane, filter"),
            ("tab", "next pane"),
            ("z", "the focused pane full-screen, and back"),
            ("/", "filter: words that must all fit; regex, !not, key:value, key:>1, key:1..3"),
            ("", "keys: optimizer optimizee dataset depth activation horizon lr phase status loss diff"),
            ("w  [ ]", "choose the experiment; the one before, the next"),
            ("r  i", "start a bench or train as a process of its own; interrupt it"),
            ("e  ctrl+o", "export as CSV or SVG; copy what is under the cursor"),
            ("t  ctrl+p", "next theme; command palette"),
        ),
    ),
    (
        "Runs",
        (
            ("up down  j k  g G", "move over the rows"),
            ("enter", "everything about the row, seed by seed"),
            ("space  p  c", "draw or hide its line; pin it; compare all problems"),
            ("o O  u", "next order, reversed; show the searches for learning rates"),
        ),
    ),
    (
        "Plots",
        (
            ("y x", "logarithmic axes"),
            ("left right  h l", "crosshair; with shift ten times as far"),
            ("+ - 0  < >", "zoom in, out, reset; pan"),
            ("f", "follow the live end"),
            ("b  s", "band over seeds: IQR, min-max, none; smoothing: over 2 %, 10 % of the steps, none"),
        ),
    ),
    (
        "Matrix, Compare, Spec",
        (
            ("v", "Matrix: axis of the columns; Compare: curves, rates or both; Spec: written or resolved"),
            ("a", "Matrix: learned optimizers alone, or all"),
            ("pgup pgdn", "Compare: other panels"),
        ),
    ),
    (
        "Signs",
        (
            ("Δbest%", "final loss against the best tuned baseline, paired by seed; below 0 is better"),
            ("★ dashed", "that baseline; its learning rate is named"),
            ("DIV FAIL STOP STALL", "diverged; failed; interrupted; its process is gone"),
        ),
    ),
)  # fmt: skip


def help_lines(palette: Palette, columns: int) -> list[Line]:
    """All sections, broken to fit."""
    lines: list[Line] = []
    for title, keys in SECTIONS:
        lines += [[], [Part(title, palette.accent, bold=True)]]
        for key, text in keys:
            for number, piece in enumerate(textwrap.wrap(text, max(columns - _KEY_COLUMNS, 10))):
                shown = key if not number else ""
                lines.append(
                    [Part(f"  {shown:<{_KEY_COLUMNS - 2}}", palette.series_color(0), bold=True), Part(piece)]
                )
    return lines
