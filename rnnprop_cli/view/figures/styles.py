"""One look for each optimizer in all figures: a colour, a dash pattern and a marker.

The colours follow Okabe & Ito (2008) and Tol's muted scheme, which people with any colour vision can tell apart; no
two dash patterns are alike, so a figure printed in grey can still be read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Style:
    """How an optimizer is drawn. Dashes are lengths of stroke and gap in line widths; none: solid."""

    light: str  # colour on a light ground
    dark: str  # colour on a dark ground
    dashes: tuple[float, ...]
    marker: str  # matplotlib's sign for it
    width: float = 1.0


_LEARNED: Final = (
    Style("#D55E00", "#FF8B3D", (), "o", 1.5),
    Style("#111111", "#F2F2F2", (5, 1.5), "s", 1.5),
    Style("#6A3D9A", "#BCA9EA", (1, 1.2), "^", 1.5),
    Style("#8C5A1E", "#D9A766", (7, 1.5, 1, 1.5), "D", 1.5),
)
_KNOWN: Final = {
    "adam": Style("#0072B2", "#5AB4F0", (4, 1.5), "v"),
    "rmsprop": Style("#008F68", "#3CCFA3", (6, 1.5, 1, 1.5), "P"),
    "momentum": Style("#B5588F", "#F08CC0", (1, 1.5), "<"),
    "sgd": Style("#777777", "#B0B0B0", (9, 2), ">"),
    "adagrad": Style("#BF8300", "#F2C14E", (3, 1, 1, 1, 1, 1), "X"),
    "adadelta": Style("#3A9BD9", "#9ADBFF", (2, 2), "h"),
    "adamw": Style("#2A9D8F", "#7FE0D0", (5, 1, 1, 1, 1, 1), "d"),
    "nadam": Style("#117733", "#6FD08C", (8, 1.5, 2, 1.5), "*"),
    "nadamw": Style("#1B7F5C", "#58D6AC", (8, 1.5, 1, 1.5), "*"),
    "schedule-free-adamw": Style("#7A4FBF", "#BE9BFF", (2, 1, 6, 1), "8"),
    "lion": Style("#999933", "#D6D65C", (1, 3), "p"),
    "muon": Style("#CC6677", "#F5A0AD", (6, 3), "H"),
}
# For rules without a look of their own, and for a fifth learned optimizer.
_OTHERS: Final = (
    Style("#332288", "#A79BF5", (2, 1.2, 2, 1.2, 8, 1.2), "1"),
    Style("#882255", "#E58FB5", (10, 1.5, 1, 1.5, 1, 1.5), "2"),
    Style("#A6611A", "#E0B076", (4, 1, 2, 1), "3"),
    Style("#4D4D4D", "#C8C8C8", (2, 1, 2, 3), "4"),
)


def styles_of(optimizers: Iterable[tuple[str, bool]]) -> dict[str, Style]:
    """A style for each optimizer, the same whatever their order; well-known rules look the same in every benchmark.

    Args:
        optimizers: labels, each with whether it is a baseline.
    """
    baseline = dict(optimizers)
    learned = sorted(name for name, is_baseline in baseline.items() if not is_baseline)
    chosen = dict(zip(learned, _LEARNED, strict=False))
    chosen |= {name: _KNOWN[name] for name in baseline if name in _KNOWN and name not in chosen}
    free = [*_OTHERS, *(style for name, style in _KNOWN.items() if name not in baseline)]
    for number, name in enumerate(sorted(name for name in baseline if name not in chosen)):
        chosen[name] = free[number % len(free)]
    return chosen
