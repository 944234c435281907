"""Where an axis has its marks."""

import math
from typing import Final

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_FEW, _MANY = 3, 8  # marks on an axis


def linear_ticks(low: float, high: float) -> list[float]:
    """At most six round numbers from low to high.

    >>> linear_ticks(0, 100)
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in _STEPS if factor * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Three to eight of the numbers 1, 2, 5 (or fewer or more, where the axis is long or short) times powers of ten.

    >>> log_ticks(0.2, 3)
    [0.2, 0.5, 1.0, 2.0]
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for digits in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)):
        marks = [round(digit * 10.0**n, 12 - n) for n in exponents for digit in digits]
        marks = [mark for mark in marks if low * (1 - 1e-9) <= mark <= high * (1 + 1e-9)]
        if len(marks) > _MANY and found:
            return found
        found = marks
        if len(found) > _FEW:
            break
    if len(found) < _FEW:  # less than a third of a decade
        found = linear_ticks(low, high)
    while len(found) > _MANY:
        found = found[::2]
    return found


def tick_text(value: float) -> str:
    """A number at a mark, short.

    >>> [tick_text(value) for value in (0.0, 0.05, 20.0, 10_000.0, 1e-6)]
    ['0', '0.05', '20', '10,000', '1e-6']
    """
    if value and not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return text or "0"
