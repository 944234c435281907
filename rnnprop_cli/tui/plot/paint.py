"""Frames to Textual strips."""

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from rnnprop_cli.tui.plot.canvas import Role
from rnnprop_cli.tui.plot.frame import Frame
from rnnprop_cli.tui.plot.palette import Palette

_LOOK_SHIFT = 16  # ink and ground packed into one integer, so that runs of one look are found in one pass


class Painter:
    """Colours frames with one palette; styles are made once each."""

    def __init__(self, palette: Palette) -> None:
        self.palette = palette
        self._styles: dict[int, Style] = {}
        self._colors = {
            int(Role.GROUND): palette.ground,
            int(Role.TEXT): palette.text,
            int(Role.MUTED): palette.muted,
            int(Role.GRID): palette.grid,
            int(Role.ACCENT): palette.accent,
        }

    def strips(self, frame: Frame) -> list[Strip]:
        """One strip a row, with a segment for each run of equal colours."""
        strips = []
        columns = frame.codes.shape[1]
        looks = (frame.ink << _LOOK_SHIFT) + frame.ground
        for codes, look in zip(frame.codes.astype("<u4"), looks, strict=True):
            text = codes.tobytes().decode("utf-32-le")
            starts = [0, *(np.flatnonzero(look[1:] != look[:-1]) + 1).tolist()]
            segments = [
                Segment(text[start:stop], self._style(int(look[start])))
                for start, stop in zip(starts, [*starts[1:], columns], strict=True)
                if start < stop
            ]
            strips.append(Strip(segments, columns))
        return strips

    def blank(self, columns: int) -> Strip:
        return Strip.blank(columns, self._style((Role.TEXT << _LOOK_SHIFT) + Role.GROUND))

    def _style(self, look: int) -> Style:
        # Always with both colours: under NO_COLOR, Textual's filter crashes on a segment that lacks them.
        if look not in self._styles:
            ink, ground = divmod(look, 1 << _LOOK_SHIFT)
            self._styles[look] = Style(color=self._color(ink), bgcolor=self._color(ground))
        return self._styles[look]

    def _color(self, role: int) -> str:
        if role < Role.SERIES:
            return self._colors[role]
        index, is_band = divmod(role - Role.SERIES, 2)
        return self.palette.band_color(index) if is_band else self.palette.series_color(index)
