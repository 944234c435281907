"""Colours with enough contrast on their ground, and line patterns for when there are none.

Colour is never the only cue: every line ends in a letter, and without colour each has a pattern of its own. The
colour-blind-safe palettes start from Okabe and Ito's eight; those too close to the ground in lightness (yellow on
white, blue and black on black) are moved until their contrast is at least 3.
"""

from dataclasses import dataclass

from rnnprop_cli.tui.plot.raster import SOLID, Pattern

MINIMUM_CONTRAST = 3.0  # WCAG 2 for graphical objects
_BAND_SHARE = 0.24  # how much of a series' colour goes into its band


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def blend(color: str, ground: str, share: float) -> str:
    """``share`` of one ``#rrggbb`` laid over another."""
    mixed = (round(share * a + (1 - share) * b) for a, b in zip(_rgb(color), _rgb(ground), strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it, 0 (black) to 1 (white)."""
    linear = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in _rgb(color))
    )
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    """Contrast ratio as WCAG 2 defines it, 1 to 21."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@dataclass(frozen=True)
class Palette:
    """Colours as ``#rrggbb``."""

    name: str
    ground: str
    text: str  # tick labels and messages
    muted: str  # axis lines
    grid: str  # barely there
    accent: str  # the crosshair
    series: tuple[str, ...]

    def series_color(self, index: int) -> str:
        """The colour of a series' line and letter; indices beyond the last start over."""
        return self.series[index % len(self.series)]

    def band_color(self, index: int) -> str:
        """The same colour, dimmed into the ground."""
        return blend(self.series_color(index), self.ground, _BAND_SHARE)


_OKABE_ITO_ON_DARK = ("#e69f00", "#56b4e9", "#10b286", "#f0e442", "#3d95d6", "#e8692c", "#d98bb5", "#e6e6e6")
_OKABE_ITO_ON_LIGHT = ("#b87700", "#2a86bb", "#00805d", "#8a7f00", "#005b8e", "#c04f00", "#b4578a", "#1a1a1a")

PALETTES = {
    palette.name: palette
    for palette in (
        Palette(
            "dark", "#14181d", "#c5ccd3", "#66717c", "#2b323a", "#ffd75f",
            ("#61afef", "#f2a65a", "#7ec77b", "#e06c75", "#c792ea", "#4fc1c0", "#e5c07b", "#b0bac5"),
        ),
        Palette(
            "light", "#fbfbf8", "#3a4148", "#8a939b", "#e2e3de", "#9a5b00",
            ("#1f6fb4", "#b85c00", "#2f7d32", "#c0303b", "#7d3fb2", "#00777a", "#8a6d00", "#5a646e"),
        ),
        Palette(
            "high-contrast", "#000000", "#ffffff", "#b0b0b0", "#3a3a3a", "#ffff00",
            ("#00d7ff", "#ffaf00", "#5fff5f", "#ff7f7f", "#ff87ff", "#ffffff", "#ffff5f", "#afafff"),
        ),
        Palette("colour-blind", "#14181d", "#c5ccd3", "#66717c", "#2b323a", "#ffffff", _OKABE_ITO_ON_DARK),
        Palette("colour-blind-light", "#fbfbf8", "#3a4148", "#8a939b", "#e2e3de", "#000000", _OKABE_ITO_ON_LIGHT),
    )
}  # fmt: skip


def _pattern(marks: str) -> Pattern:
    return tuple(mark == "-" for mark in marks)


DASHED = _pattern("------    ")  # whole cells, or braille hides the gap
# Long enough to be told apart at two dot columns to a cell, short enough to repeat on a steep line.
PATTERNS = tuple(
    _pattern(marks)
    for marks in ("-", "------  ", "-  ", "------  -  ", "---  ", "------  -  -  ", "--  ", "-   ")
)


def line_pattern(color_index: int, *, dashed: bool, colorless: bool) -> Pattern:
    """How to draw a line: the best baseline dashed. Without colour it is solid and heavy (see `frame`), and the others
    have patterns of their own."""
    if colorless:
        return SOLID if dashed else PATTERNS[color_index % len(PATTERNS)]
    return DASHED if dashed else SOLID
