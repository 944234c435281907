"""Axes: from data to the unit interval and back, and the ticks that belong on them.

A fitted axis ends on round numbers, so it stays put while data grows inside it.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rnnprop_cli.view.curves.curve import FloatArray

AxisKind = Literal["linear", "log"]

_NICE = (1.0, 2.0, 5.0, 10.0)
_SNAP = 1e-9  # how far from a round number (in units of its step) counts as being on it
_DECADES_ENOUGH = 2  # fewer decade ticks than this, and the 1-2-5 ticks join them
_FIT_PARTS = 10  # a fitted linear axis ends on a multiple of about a tenth of its span
_SCIENTIFIC_FROM = 1e6
_SCIENTIFIC_BELOW = 1e-2
_MAX_DIGITS = 12
_SMALLEST = 1e-300  # the smallest value that a log axis tells from zero
_LARGEST = 1e300  # spans of larger numbers overflow


@dataclass(frozen=True)
class Tick:
    value: float
    label: str


@dataclass(frozen=True)
class Axis:
    """An interval of values laid onto [0, 1]. ``low < high``, and ``low > 0`` on a log axis."""

    low: float
    high: float
    kind: AxisKind = "linear"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"an axis needs finite low < high, not {self.low} and {self.high}")
        if self.kind == "log" and self.low <= 0:
            raise ValueError(f"a log axis starts above 0, not at {self.low}")

    def fractions(self, values: ArrayLike) -> FloatArray:
        """Where values lie: 0 at ``low``, 1 at ``high``; NaN stays. On a log axis values <= 0 are -inf."""
        array = np.asarray(values, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.kind == "linear":
                return (array - self.low) / (self.high - self.low)
            logs = np.log10(np.where(array < 0, 0.0, array))
            low = math.log10(self.low)
            return np.asarray((logs - low) / (math.log10(self.high) - low))

    def fraction(self, value: float) -> float:
        return float(self.fractions(value))

    def value(self, fraction: float) -> float:
        """The value at a fraction of the way; the inverse of `fraction`."""
        if self.kind == "linear":
            return self.low + fraction * (self.high - self.low)
        low, high = math.log10(self.low), math.log10(self.high)
        return float(10.0 ** min(max(low + fraction * (high - low), -307.0), 308.0))

    def part(self, start: float, end: float) -> "Axis":
        """The axis over the stretch between two fractions (beyond [0, 1] it reaches outwards)."""
        return Axis(self.value(start), self.value(end), self.kind)


def fit(values: ArrayLike, kind: AxisKind = "linear") -> Axis:
    """The axis that shows all finite values (all positive ones, if ``log``), out to round numbers.

    Nothing to show gives [0, 1] or, on a log axis, [0.1, 1]; a single value is put amid a round interval.
    """
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    array = array[np.isfinite(array)]
    if kind == "log":
        array = np.minimum(array[array >= _SMALLEST], _LARGEST)
        if not array.size:
            return Axis(0.1, 1.0, "log")
        low = _round_log(float(array.min()), up=False)
        high = _round_log(float(array.max()), up=True)
        return Axis(low, high, "log") if low < high else Axis(low / 2, high * 2, "log")
    if not array.size:
        return Axis(0.0, 1.0)
    low, high = (float(end) for end in np.clip((array.min(), array.max()), -_LARGEST, _LARGEST))
    if high - low <= max(abs(low), abs(high)) * _SNAP:
        margin = max(abs(low) / _FIT_PARTS, 1e-12) if low else 1.0
        low, high = low - margin, high + margin
    step = nice_step((high - low) / _FIT_PARTS)
    return Axis(math.floor(low / step + _SNAP) * step, math.ceil(high / step - _SNAP) * step)


def _round_log(value: float, *, up: bool) -> float:
    """The next of 1, 2, 5 times a power of ten, upwards or downwards; ``value`` itself if it is one."""
    decade = 10.0 ** math.floor(math.log10(value))
    mantissas = [
        nice for nice in _NICE if (nice >= value / decade - _SNAP if up else nice <= value / decade + _SNAP)
    ]
    return decade * (min(mantissas, default=10.0) if up else max(mantissas, default=1.0))


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least ``least``."""
    decade = 10.0 ** math.floor(math.log10(max(least, 1e-307)))
    return next((nice * decade for nice in _NICE if nice * decade >= least * (1 - _SNAP)), 10.0 * decade)


def ticks(axis: Axis, most: int) -> tuple[Tick, ...]:
    """At most ``most`` ticks at round numbers, in rising order; their labels all differ.

    On a log axis these are decades (every second, fifth, ... where there are many), the 1-2-5 series where
    few decades fit, and an ordinary linear series on a stretch too short for either.
    """
    if most < 1:
        return ()
    if axis.kind == "linear":
        return _linear_ticks(axis, most)
    decades = _decades(axis)
    if len(decades) > most:
        every = next(
            step for step in (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000) if len(decades) <= most * step
        )
        kept = [decade for decade in decades if decade % every == 0]
        return _labelled([10.0**decade for decade in kept][:most])
    if len(decades) >= _DECADES_ENOUGH and 2 * len(decades) > most:
        return _labelled([10.0**decade for decade in decades])
    finer = [
        value
        for decade in range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
        for value in (10.0**decade, 2 * 10.0**decade, 5 * 10.0**decade)
        if axis.low * (1 - _SNAP) <= value <= axis.high * (1 + _SNAP)
    ]
    if _DECADES_ENOUGH <= len(finer) <= most:
        return _labelled(finer)
    if len(decades) >= _DECADES_ENOUGH:
        return _labelled([10.0**decade for decade in decades])
    if decades and len(finer) > most > 1:  # every second or so of them, if possible with the decade
        every = math.ceil(len(finer) / most)
        at = min(range(len(finer)), key=lambda index: abs(finer[index] - 10.0 ** decades[0]))
        return _labelled(max((finer[(at + i) % every :: every] for i in range(every)), key=len))
    return _linear_ticks(axis, most)


def _decades(axis: Axis) -> list[int]:
    first = math.ceil(math.log10(axis.low) - _SNAP)
    last = math.floor(math.log10(axis.high) + _SNAP)
    return list(range(max(first, -307), min(last, 308) + 1))


def _linear_ticks(axis: Axis, most: int) -> tuple[Tick, ...]:
    step = nice_step((axis.high - axis.low) / most)
    while True:
        first = math.ceil(axis.low / step - _SNAP)
        last = math.floor(axis.high / step + _SNAP)
        if last - first < most:
            break
        step = nice_step(step * 1.5)
    return _labelled([index * step for index in range(first, last + 1)])


def _labelled(values: list[float]) -> tuple[Tick, ...]:
    """Ticks with as many digits as it takes to tell their labels apart."""
    labels: list[str] = []
    for digits in range(1, _MAX_DIGITS + 1):
        labels = [format_number(value, digits) for value in values]
        faithful = all(
            abs(float(label.replace(",", "")) - value) <= 1e-3 * abs(value)
            for label, value in zip(labels, values, strict=True)
        )
        if faithful and len(set(labels)) == len(labels):
            break
    return tuple(Tick(value, label) for value, label in zip(values, labels, strict=True))


def format_number(value: float, digits: int = 3) -> str:
    """A number as short as it goes: ``1``, ``.1``, ``2,000``, ``1e-3``, ``-2.5e7``, ``nan``, ``inf``.

    Args:
        value: what to write.
        digits: significant digits kept; digits before the point are never dropped below ``1e6``.
    """
    if not math.isfinite(value):
        return "inf" if value > 0 else "-inf" if value < 0 else "nan"
    if value == 0:
        return "0"
    size = float(f"{abs(value):.{digits - 1}e}")  # rounded first, so that 999,999.9 counts as 1e6
    if size >= _SCIENTIFIC_FROM or size < _SCIENTIFIC_BELOW:
        mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
        body = f"{_without_zeros(mantissa)}e{int(exponent)}"
    else:
        decimals = max(digits - 1 - math.floor(math.log10(size)), 0)
        body = _without_zeros(f"{abs(value):,.{decimals}f}").removeprefix("0")
    return f"-{body}" if value < 0 else body


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
