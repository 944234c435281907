"""Colours of the whole app. The plot's palettes are the source; Textual's themes and the rest derive from them."""

from dataclasses import dataclass
from typing import Final

from textual.theme import Theme

from rnnprop_cli.records import Status
from rnnprop_cli.tui.plot import PALETTES, Charset, Palette
from rnnprop_cli.tui.plot.palette import blend

THEME_NAMES: Final = tuple(PALETTES)


@dataclass(frozen=True)
class Look:
    """Colours with a meaning beyond the plot's, as ``#rrggbb``."""

    palette: Palette
    good: str  # better than the baseline, done
    bad: str  # worse, failed
    warn: str  # diverged, interrupted
    busy: str  # running
    cursor: str  # ground of the row under the cursor
    heading: str  # ground of headings

    def status_color(self, status: Status) -> str:
        """The colour of a status."""
        return {
            "done": self.good,
            "failed": self.bad,
            "diverged": self.warn,
            "interrupted": self.warn,
            "running": self.busy,
            "queued": self.palette.muted,
        }[status]

    def heat(self, percent: float) -> str:
        """The ground of a difference to the baseline: blue is better, orange is worse, full at 30 %.

        The hues are those that every kind of colour blindness tells apart; the sign is in the text.
        """
        strength = min(abs(percent) / 30, 1.0) ** 0.6
        return blend(self._better if percent < 0 else self._worse, self.palette.ground, 0.1 + 0.5 * strength)

    @property
    def _better(self) -> str:
        return "#1f7fd6" if self.palette.name in ("dark", "high-contrast", "colour-blind") else "#4aa3e8"

    @property
    def _worse(self) -> str:
        return "#d9641e" if self.palette.name in ("dark", "high-contrast", "colour-blind") else "#f0914f"


def _look(name: str, good: str, bad: str, warn: str, busy: str) -> Look:
    palette = PALETTES[name]
    return Look(
        palette,
        good,
        bad,
        warn,
        busy,
        cursor=blend(palette.series[0], palette.ground, 0.28),
        heading=blend(palette.muted, palette.ground, 0.25),
    )


LOOKS: Final = {
    look.palette.name: look
    for look in (
        _look("dark", "#7ec77b", "#e06c75", "#e5a94b", "#61afef"),
        _look("light", "#2f7d32", "#c0303b", "#9a5b00", "#1f6fb4"),
        _look("high-contrast", "#5fff5f", "#ff7f7f", "#ffff00", "#00d7ff"),
        _look("colour-blind", "#56b4e9", "#e8692c", "#f0e442", "#3d95d6"),
        _look("colour-blind-light", "#005b8e", "#c04f00", "#8a7f00", "#2a86bb"),
    )
}


def textual_theme(look: Look) -> Theme:
    """The theme that Textual's own widgets wear."""
    palette = look.palette
    return Theme(
        name=palette.name,
        primary=palette.series[0],
        secondary=palette.series[1],
        accent=palette.accent,
        foreground=palette.text,
        background=palette.ground,
        surface=palette.ground,
        panel=look.heading,
        success=look.good,
        warning=look.warn,
        error=look.bad,
        dark=not palette.name.endswith("light"),
        variables={
            "border": palette.series[0],
            "border-blurred": palette.muted,
            "block-cursor-background": look.cursor,
            "block-cursor-foreground": palette.text,
            "input-cursor-background": palette.text,
            "input-cursor-foreground": palette.ground,
        },
    )


@dataclass(frozen=True)
class Glyphs:
    """Single characters with a meaning."""

    statuses: dict[Status, str]
    cursor: str
    pin: str
    best: str
    dot: str
    dash: str
    plus_minus: str
    delta: str


_UNICODE = Glyphs(
    {"running": "●", "done": "✔", "failed": "✘", "queued": "◌", "diverged": "‼", "interrupted": "◼"},
    cursor="▶",
    pin="◆",
    best="★",
    dot="·",
    dash="─",
    plus_minus="±",
    delta="Δ",
)
_ASCII = Glyphs(
    {"running": "o", "done": "+", "failed": "x", "queued": ".", "diverged": "!", "interrupted": "#"},
    cursor=">",
    pin="^",
    best="*",
    dot="|",
    dash="-",
    plus_minus="+-",
    delta="d",
)


def glyphs(charset: Charset) -> Glyphs:
    """The characters that a charset allows."""
    return _ASCII if charset is Charset.ASCII else _UNICODE
