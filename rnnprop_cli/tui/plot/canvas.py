"""A grid of character codes and colour roles to write on."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from rich.cells import cell_len

from rnnprop_cli.tui.plot.raster import BLANK, NOBODY, Cells, Charset, IntArray
from rnnprop_cli.view.safe_text import safe_text

_GRID_EVERY = 4  # columns from one dot of a grid line to the next


class Role(IntEnum):
    """What a cell is coloured as. Roles from `SERIES` on alternate line and band of colour 0, 1, 2, ..."""

    GROUND = 0
    TEXT = 1
    MUTED = 2
    GRID = 3
    ACCENT = 4
    SERIES = 16


def line_role(color_index: int) -> int:
    return Role.SERIES + 2 * color_index


@dataclass(frozen=True)
class Signs:
    """The characters that are not part of a line."""

    axis: str
    tick: str
    grid: str
    crosshair: str
    diverged: str
    upper_half: str
    lower_half: str


UNICODE_SIGNS = Signs("│", "┤", "·", "┊", "✗", "▀", "▄")
ASCII_SIGNS = Signs("|", "+", ".", ":", "x", " ", " ")


@dataclass(frozen=True)
class PlotArea:
    """Where the data lie within a frame."""

    left: int
    columns: int
    rows: int


def one_cell(text: str, charset: Charset) -> str:
    """The first character, or a stand-in if it is not exactly one cell wide (or not ASCII where it must be)."""
    character = safe_text(text[:1])
    if charset is Charset.ASCII and not character.isascii():
        return ASCII_SIGNS.diverged
    return character if cell_len(character) == 1 else "?"


class Canvas:
    """Character codes and roles of a whole frame, to write on; what lies outside is dropped."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = max(columns, 0), max(rows, 0)
        shape = (self.rows, self.columns)
        self.codes: IntArray = np.full(shape, BLANK, dtype=np.int64)
        self.ink: IntArray = np.full(shape, int(Role.TEXT), dtype=np.int64)
        self.ground: IntArray = np.full(shape, int(Role.GROUND), dtype=np.int64)

    @classmethod
    def over(cls, codes: IntArray, ink: IntArray, ground: IntArray) -> "Canvas":
        """To write over a finished picture, of which characters and inks are copied."""
        canvas = cls(0, 0)
        canvas.rows, canvas.columns = codes.shape
        canvas.codes, canvas.ink, canvas.ground = codes.copy(), ink.copy(), ground
        return canvas

    @property
    def arrays(self) -> tuple[IntArray, IntArray, IntArray]:
        return self.codes, self.ink, self.ground

    def text(self, row: int, column: int, text: str, role: int) -> None:
        """Write one-cell characters from ``column`` on."""
        if not 0 <= row < self.rows:
            return
        for at, character in enumerate(text, start=column):
            if 0 <= at < self.columns:
                self.codes[row, at], self.ink[row, at] = ord(character), role

    def centred(self, text: str, role: int) -> None:
        shown = safe_text(text)
        if cell_len(shown) != len(shown):  # wide or combining characters have no place in a grid of codes
            shown = shown.encode("ascii", "replace").decode()
        shown = shown[: self.columns]
        self.text(self.rows // 2, (self.columns - len(shown)) // 2, shown, role)

    def clear_words(self, row: int, start: int, stop: int) -> None:
        """Blank a stretch, and the rest of the words that it cuts into."""
        while start > 0 and self.codes[row, start - 1] != BLANK:
            start -= 1
        while stop < self.columns and self.codes[row, stop] != BLANK:
            stop += 1
        self.codes[row, start:stop] = BLANK

    def grid(self, row: int, area: PlotArea, sign: str) -> None:
        """Dots along a row, wherever nothing else is."""
        at = area.left + np.arange(_GRID_EVERY - 1, area.columns, _GRID_EVERY)
        at = at[(self.codes[row, at] == BLANK) & (self.ground[row, at] == Role.GROUND)]
        self.codes[row, at], self.ink[row, at] = ord(sign), Role.GRID

    def put_cells(self, cells: Cells, area: PlotArea, colors: Sequence[int], charset: Charset) -> None:
        """Lines in front of bands. A band may fill half a cell, but lies under the whole of a line's cell."""
        color = np.array([*colors, 0])  # NOBODY, -1, indexes the last, which is never shown
        window = (slice(0, area.rows), slice(area.left, area.left + area.columns))
        codes, ink, ground = cells.codes.copy(), self.ink[window].copy(), self.ground[window].copy()
        line, top, bottom = cells.line_owner, cells.band_top, cells.band_bottom
        if charset is Charset.ASCII:
            top = bottom = np.where(top != NOBODY, top, bottom)
        filled = np.where((line != NOBODY) & (bottom == NOBODY), top, bottom)
        is_full = (filled != NOBODY) & ((line != NOBODY) | (top != NOBODY))
        ground[is_full] = _band_roles(color, filled[is_full])
        upper = (line == NOBODY) & (top != NOBODY) & (top != bottom)
        codes[upper], ink[upper] = ord(UNICODE_SIGNS.upper_half), _band_roles(color, top[upper])
        lower = (line == NOBODY) & (top == NOBODY) & (bottom != NOBODY)
        codes[lower], ink[lower] = ord(UNICODE_SIGNS.lower_half), _band_roles(color, bottom[lower])
        ink[line != NOBODY] = Role.SERIES + 2 * color[line[line != NOBODY]]
        self.codes[window], self.ink[window], self.ground[window] = codes, ink, ground


def _band_roles(color: IntArray, owners: IntArray) -> IntArray:
    roles: IntArray = Role.SERIES + 2 * color[owners] + 1
    return roles
