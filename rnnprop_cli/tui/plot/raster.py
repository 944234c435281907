"""Lines and bands to terminal cells, with nothing but numpy.

A raster is a grid of dots, several to a cell. Input is in unit coordinates: (0, 0) is the lower left dot and
(1, 1) the upper right. Every dot column shows the full range of the points that fall into it, so a spike is
never lost to thinning; neighbouring columns are joined, unless a NaN parts them. What lies outside is clipped
as geometry is: a line on its way to infinity runs to the edge of the grid.

Shapes: X dot columns, Y dot rows, C cell columns, R cell rows, N points.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rnnprop_cli.view.curves.curve import FloatArray

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

NOBODY = -1  # the owner of a cell in which nothing was drawn
BLANK = ord(" ")
_SPIKE_CELLS = 2  # a dot column that covers as many cells is drawn whatever the pattern

Pattern = tuple[bool, ...]
SOLID: Pattern = (True,)


class Charset(StrEnum):
    """What a cell can show: braille 2 x 4 dots, quadrant blocks 2 x 2, ASCII 1 x 2."""

    BRAILLE = "braille"
    BLOCK = "block"
    ASCII = "ascii"


@dataclass(frozen=True)
class _Glyphs:
    """Dots per cell, and the character for each set of dots; bit = row * dots_x + column."""

    dots_x: int
    dots_y: int
    characters: str


def _braille() -> str:
    # Unicode numbers the dots down the left column, down the right one, then the bottom row.
    bit_of = {(0, 0): 0, (1, 0): 1, (2, 0): 2, (0, 1): 3, (1, 1): 4, (2, 1): 5, (3, 0): 6, (3, 1): 7}
    return "".join(
        chr(0x2800 + sum(1 << bit_of[divmod(bit, 2)] for bit in range(8) if dots >> bit & 1))
        for dots in range(256)
    )


_GLYPHS = {
    Charset.BRAILLE: _Glyphs(2, 4, " " + _braille()[1:]),
    Charset.BLOCK: _Glyphs(2, 2, " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"),
    Charset.ASCII: _Glyphs(1, 2, " '.|"),
}


@dataclass(frozen=True)
class Cells:
    """A finished raster: a character code and owners for each cell (R x C)."""

    codes: IntArray  # code points; blank where no line passes
    line_owner: IntArray  # who colours the character; NOBODY if blank
    band_top: IntArray  # whose band fills the upper half of the cell, or NOBODY
    band_bottom: IntArray


class Raster:
    """A grid of cells to draw on. Draw the least important first: later bands cover earlier ones.

    Args:
        columns, rows: size in cells.
        charset: what a cell can show.
        merged: let a cell show the dots of every line in it. Right where there is no colour; with colour, all of
            them would take the colour of one. So by default a cell shows one line, and lines that share a row
            of cells take them by turns.
    """

    def __init__(
        self, columns: int, rows: int, charset: Charset = Charset.BRAILLE, *, merged: bool = False
    ) -> None:
        self.merged = merged
        self.glyphs = _GLYPHS[charset]
        self.columns, self.rows = max(columns, 0), max(rows, 0)
        self._width, self._height = self.columns * self.glyphs.dots_x, self.rows * self.glyphs.dots_y
        self._dots_YX = np.zeros((self._height, self._width), dtype=bool)
        self._line_owner = np.full((self.rows, self.columns), NOBODY)
        self._band_owner = np.full((self.rows * 2, self.columns), NOBODY)

    @property
    def dot_columns(self) -> int:
        return self._width

    def line(
        self, x: FloatArray, y: FloatArray, owner: int, pattern: Pattern = SOLID, *, heavy: bool = False
    ) -> None:
        """Draw a polyline.

        Args:
            x: unit coordinates, not falling.
            y: unit coordinates; NaN breaks the line, infinities run off the edge.
            owner: who colours the cells it passes (>= 0).
            pattern: which dot columns, by turns, to draw.
            heavy: twice as thick.
        """
        spans = self._spans(x, y)
        if spans is None:
            return
        spans = spans.joined(self._height)
        shown = np.resize(np.array(pattern), self._width)[spans.column]
        # A spike may be one dot column wide: no pattern leaves it out.
        shown |= spans.bottom - spans.top >= _SPIKE_CELLS * self.glyphs.dots_y
        thicker = int(heavy)
        mask_YX = self._fill(spans.column[shown], spans.top[shown] - thicker, spans.bottom[shown])
        dots = self._per_cell(self._dots_YX, self.glyphs.dots_y).transpose(0, 2, 1, 3)
        mask = self._per_cell(mask_YX, self.glyphs.dots_y).transpose(0, 2, 1, 3)
        taken = mask.any(axis=(2, 3))
        if self.merged:
            dots[taken] |= mask[taken]
        else:
            is_odd_C = np.arange(self.columns) % 2 == 1
            taken &= ~((self._line_owner != NOBODY) & is_odd_C)
            dots[taken] = mask[taken]
        self._line_owner[taken] = owner

    def band(self, x: FloatArray, low: FloatArray, high: FloatArray, owner: int) -> None:
        """Fill between two lines over the same ``x``; where either is NaN the band has a gap."""
        missing = np.isnan(low) | np.isnan(high)
        lower = self._spans(x, np.where(missing, np.nan, low))
        upper = self._spans(x, np.where(missing, np.nan, high))
        if lower is None or upper is None:
            return
        mask_YX = self._fill(lower.column, upper.top, lower.bottom)
        half = self.glyphs.dots_y // 2
        covered = self._per_cell(mask_YX, half).mean(axis=(1, 3))
        self._band_owner[covered >= 0.5] = owner

    def cells(self) -> Cells:
        """What was drawn, as characters and owners."""
        dots_x, dots_y = self.glyphs.dots_x, self.glyphs.dots_y
        weights = (1 << np.arange(dots_x * dots_y)).reshape(dots_y, dots_x)
        bits = np.einsum("rycx,yx->rc", self._per_cell(self._dots_YX, dots_y), weights, dtype=np.int64)
        codes = np.array([ord(character) for character in self.glyphs.characters])[bits]
        return Cells(codes, self._line_owner, self._band_owner[0::2], self._band_owner[1::2])

    def row_of(self, y: float) -> int:
        """The cell row of a unit coordinate, kept inside the grid."""
        dot = _to_dots(np.array([y]), self._height)[0]
        return int(min(max(dot, 0), max(self._height - 1, 0))) // self.glyphs.dots_y

    def column_of(self, x: float) -> int:
        """The cell column of a unit coordinate; it may lie outside the grid."""
        return int(np.floor(round(x * (self._width - 1)) / self.glyphs.dots_x))

    def _per_cell(self, mask_YX: BoolArray, dots_y: int) -> BoolArray:
        shape = (self._height // dots_y, dots_y, self.columns, self.glyphs.dots_x)
        return mask_YX.reshape(shape)

    def _fill(self, column: IntArray, top: FloatArray, bottom: FloatArray) -> BoolArray:
        mask_YX = np.zeros((self._height, self._width), dtype=bool)
        row_Y = np.arange(self._height)[:, None]
        mask_YX[:, column] = (row_Y >= top) & (row_Y <= bottom)
        return mask_YX

    def _spans(self, x: FloatArray, y: FloatArray) -> "_Spans | None":
        """The vertical stretch that a polyline covers in each dot column, gaps between points filled."""
        if not (self._width and self._height and x.size):
            return None
        x, y = _clipped_sideways(x, y)
        if not x.size:
            return None
        column = np.rint(x * (self._width - 1)).astype(np.int64)
        row = _to_dots(y, self._height)
        starts = np.flatnonzero(np.concatenate(([True], column[1:] != column[:-1])))
        ends = np.append(starts[1:], column.size) - 1
        spans = _Spans(
            column[starts],
            np.fmin.reduceat(row, starts),
            np.fmax.reduceat(row, starts),
            row[starts],
            row[ends],
        )
        return spans.bridged().without_missing()


def _to_dots(y: FloatArray, height: int) -> FloatArray:
    """Dot rows counted from the top, rounded; kept near the grid so that infinities are mere slopes."""
    rows = (1.0 - np.clip(y, -1.0, 2.0)) * (height - 1)
    # Beyond the edge is beyond the edge, even on a grid of one row.
    rows = np.where(y > 1.0, np.minimum(rows, -1.0), np.where(y < 0.0, np.maximum(rows, height), rows))
    return np.asarray(np.rint(rows))


def _clipped_sideways(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The part of a polyline with 0 <= x <= 1; segments that cross an edge are cut there."""
    first, stop = int(np.searchsorted(x, 0.0, "left")), int(np.searchsorted(x, 1.0, "right"))
    inner_x, inner_y = x[first:stop], y[first:stop]
    bounded = np.clip(
        y[[max(first - 1, 0), min(first, y.size - 1), stop - 1, min(stop, y.size - 1)]], -9.0, 9.0
    )
    if first > 0 and first < x.size and np.isfinite(x[first - 1]) and (first == stop or x[first] > 0):
        share = (0.0 - x[first - 1]) / (x[first] - x[first - 1])
        inner_x = np.append(0.0, inner_x)
        inner_y = np.append(bounded[0] + share * (bounded[1] - bounded[0]), inner_y)
    if 0 < stop < x.size and np.isfinite(x[stop - 1]) and x[stop - 1] < 1:
        share = (1.0 - x[stop - 1]) / (x[stop] - x[stop - 1])
        inner_x = np.append(inner_x, 1.0)
        inner_y = np.append(inner_y, bounded[2] + share * (bounded[3] - bounded[2]))
    return inner_x, inner_y


@dataclass(frozen=True)
class _Spans:
    """For each dot column in turn: the rows covered (top <= bottom) and where the line enters and leaves."""

    column: IntArray
    top: FloatArray
    bottom: FloatArray
    enter: FloatArray
    leave: FloatArray

    def bridged(self) -> "_Spans":
        """With straight bridges across columns that hold no point, unless a NaN lies on either side."""
        gap = np.diff(self.column) - 1
        gap[np.isnan(self.leave[:-1]) | np.isnan(self.enter[1:])] = 0
        total = int(gap.sum()) if gap.size else 0
        if not total:
            return self
        left = np.repeat(np.arange(gap.size), gap)
        offset = np.arange(total) - np.repeat(np.cumsum(gap) - gap, gap) + 1
        share = offset / (gap[left] + 1)
        row = np.rint(self.leave[left] + share * (self.enter[left + 1] - self.leave[left]))
        column = np.concatenate((self.column, self.column[left] + offset))
        order = np.argsort(column, kind="stable")
        return _Spans(
            column[order],
            *(np.concatenate((part, row))[order] for part in (self.top, self.bottom, self.enter, self.leave)),
        )

    def without_missing(self) -> "_Spans":
        kept = ~np.isnan(self.top)
        return _Spans(
            self.column[kept], self.top[kept], self.bottom[kept], self.enter[kept], self.leave[kept]
        )

    def joined(self, height: int) -> "_Spans":
        """With each pair of adjacent columns meeting half-way, no row drawn twice, so slopes stay thin."""
        leave, enter = np.clip(self.leave[:-1], -1, height), np.clip(self.enter[1:], -1, height)
        touching = (np.diff(self.column) == 1) & ~np.isnan(leave) & ~np.isnan(enter)
        middle = np.floor((leave + enter) / 2)
        falling, rising = touching & (enter > leave), touching & (enter < leave)
        top, bottom = self.top.copy(), self.bottom.copy()
        bottom[:-1] = np.where(falling, np.maximum(bottom[:-1], middle), bottom[:-1])
        top[1:] = np.where(falling, np.minimum(top[1:], middle + 1), top[1:])
        top[:-1] = np.where(rising, np.minimum(top[:-1], middle + 1), top[:-1])
        bottom[1:] = np.where(rising, np.maximum(bottom[1:], middle), bottom[1:])
        return _Spans(self.column, top, bottom, self.enter, self.leave)
