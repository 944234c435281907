"""Curves as a reader sees them: smoothed, joined over seeds, thinned to what a screen can show.

Arrays are float64. NaN means *missing* and takes no part in anything; infinity is a value (a run that blew
up) and stays visible. Between two recorded steps a curve holds its last value, and outside its first and last
step it has none: nothing here invents points that were not measured.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

BandKind = Literal["iqr", "minmax"]
_QUANTILES: dict[BandKind, tuple[float, float]] = {"iqr": (0.25, 0.75), "minmax": (0.0, 1.0)}

_SMOOTHING_BLOCK = 64  # points smoothed by one matrix product; any size gives the same result


def _frozen(values: ArrayLike) -> FloatArray:
    """A read-only float64 view (a copy only where the type must change)."""
    array = np.asarray(values, dtype=np.float64).view()
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Curve:
    """One value per recorded step.

    Args:
        steps: strictly increasing, finite.
        values: as long as ``steps``; NaN where missing.
    """

    steps: FloatArray
    values: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", _frozen(self.steps))
        object.__setattr__(self, "values", _frozen(self.values))
        if self.steps.ndim != 1 or self.steps.shape != self.values.shape:
            raise ValueError(
                f"steps {self.steps.shape} and values {self.values.shape} must be equally long rows"
            )
        if not np.isfinite(self.steps).all() or (np.diff(self.steps) <= 0).any():
            raise ValueError("steps must be finite and strictly increasing")

    @classmethod
    def of(cls, values: ArrayLike, *, stride: int = 1) -> "Curve":
        """The curve recorded at steps 0, stride, 2 * stride, ..."""
        row = _frozen(values)
        return cls(np.arange(row.size, dtype=np.float64) * stride, row)

    def __len__(self) -> int:
        return int(self.steps.size)

    def at(self, steps: ArrayLike) -> FloatArray:
        """The values held at ``steps``: the last one recorded at or before each; NaN outside the curve."""
        wanted = np.asarray(steps, dtype=np.float64)
        if not len(self):
            return np.full(wanted.shape, np.nan)
        index = np.searchsorted(self.steps, wanted, side="right") - 1
        inside = (index >= 0) & (wanted <= self.steps[-1])
        return np.where(inside, self.values[np.maximum(index, 0)], np.nan)

    def diverged_until(self, step: float) -> "Curve":
        """This curve, infinite after its last point up to ``step``: how a run that blew up goes on.

        A diverged run stops recording. Joined with its sister seeds as it is, it would drop out of the band
        and the others would look better than they are.
        """
        if len(self) and self.steps[-1] >= step:
            return self
        onset = min(float(self.steps[-1]) + 1, step) if len(self) else 0.0
        tail = [onset, step] if onset < step else [step]
        return Curve(np.append(self.steps, tail), np.append(self.values, np.full(len(tail), np.inf)))

    def value_at(self, step: float) -> float:
        """The value held at one step, as under a crosshair; NaN if there is none."""
        return float(self.at(step))


@dataclass(frozen=True, eq=False)
class Band:
    """Several runs of one thing as a middle line and a band, at the steps that any of them recorded."""

    steps: FloatArray
    low: FloatArray
    middle: FloatArray  # the median
    high: FloatArray
    count: NDArray[np.int64]  # how many runs have a value at each step; live runs differ in length

    def __len__(self) -> int:
        return int(self.steps.size)

    @property
    def median(self) -> Curve:
        return Curve(self.steps, self.middle)


def quantiles(values_RS: FloatArray, fractions: tuple[float, ...]) -> tuple[FloatArray, ...]:
    """Quantiles over rows (R runs, S steps), linear between order statistics, as ``numpy.quantile``.

    Unlike ``numpy.nanquantile`` this is not slow for many columns, and infinities order as values rather than
    turning into NaN. A column without any value gives NaN.
    """
    ordered_RS = np.sort(values_RS, axis=0)  # NaN sorts last
    last_S = np.maximum(np.sum(~np.isnan(values_RS), axis=0) - 1, 0)
    found = []
    for fraction in fractions:
        position_S = fraction * last_S
        below_S = np.floor(position_S).astype(np.intp)
        above_S = np.ceil(position_S).astype(np.intp)
        lower_S = np.take_along_axis(ordered_RS, below_S[None], axis=0)[0]
        upper_S = np.take_along_axis(ordered_RS, above_S[None], axis=0)[0]
        with np.errstate(invalid="ignore"):
            between_S = lower_S + (position_S - below_S) * (upper_S - lower_S)
        # inf - inf is NaN, and 0 * inf too: equal neighbours and exact hits need no arithmetic.
        exact_S = (below_S == above_S) | (lower_S == upper_S)
        found.append(np.where(exact_S, lower_S, between_S))
    return tuple(found)


def band_over_seeds(curves: list[Curve], kind: BandKind = "iqr") -> Band:
    """Median and inter-quartile range (or minimum and maximum) over runs that differ in their seed.

    Runs may have different lengths and strides. A run counts between its first and last step; what it holds
    at a step that it did not record is its last value. An infinite loss counts as the worst value, so a
    diverged seed lifts the band instead of vanishing from it (see `Curve.diverged_until`).

    >>> band = band_over_seeds([Curve.of([1.0, 2.0]), Curve.of([3.0])], "minmax")
    >>> band.low.tolist(), band.high.tolist(), band.count.tolist()
    ([1.0, 2.0], [3.0, 2.0], [2, 1])
    """
    filled = [curve for curve in curves if len(curve)]
    if not filled:
        nothing = _frozen([])
        return Band(nothing, nothing, nothing, nothing, np.zeros(0, dtype=np.int64))
    longest = max(filled, key=len)
    if all(np.array_equal(curve.steps, longest.steps[: len(curve)]) for curve in filled):
        steps = longest.steps
        values_RS = np.full((len(filled), steps.size), np.nan)
        for row, curve in zip(values_RS, filled, strict=True):
            row[: len(curve)] = curve.values
    else:
        steps = np.unique(np.concatenate([curve.steps for curve in filled]))
        values_RS = np.stack([curve.at(steps) for curve in filled])
    low, middle, high = quantiles(values_RS, (_QUANTILES[kind][0], 0.5, _QUANTILES[kind][1]))
    return Band(steps, low, middle, high, np.sum(~np.isnan(values_RS), axis=0))


def smooth(curve: Curve, decay: float, *, log: bool = True) -> Curve:
    """Debiased exponential moving average over recorded points, by default of the logarithm.

        m_t = decay * m_{t-1} + (1 - decay) * log y_t,    smoothed_t = exp(m_t / (1 - decay^t))

    Averaging logarithms keeps one early, huge loss from hanging over thousands of later steps. Points that
    have no logarithm (missing, infinite, zero, negative) take no part and stay as they are, so a gap remains
    a gap and a divergence is not smoothed away.

    Args:
        curve: what to smooth.
        decay: 0 (no smoothing) up to, but not including, 1.
        log: average logarithms; False averages the values themselves, for curves that may be negative.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay must lie in [0, 1), not {decay}")
    if decay == 0 or not len(curve):
        return curve
    usable = np.isfinite(curve.values) & ((curve.values > 0) if log else True)
    terms = np.where(usable, curve.values, 1.0)
    terms = np.where(usable, np.log(terms) if log else terms, 0.0)
    total = _decayed_sum(terms, decay)
    weight = _decayed_sum(usable.astype(np.float64), decay)
    mean = total / np.where(usable, weight, 1.0)
    return Curve(curve.steps, np.where(usable, np.exp(mean) if log else mean, curve.values))


def _decayed_sum(terms: FloatArray, decay: float) -> FloatArray:
    """``s_t = decay * s_{t-1} + terms_t`` by blocks: a matrix product inside, one short loop across."""
    size = _SMOOTHING_BLOCK
    blocks = -(-terms.size // size)
    padded = np.zeros(blocks * size)
    padded[: terms.size] = terms
    lag = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.where(lag >= 0, decay ** np.maximum(lag, 0), 0.0)
    sums = padded.reshape(blocks, size) @ weights.T
    carry_weights = decay ** np.arange(1, size + 1)
    for earlier, later in pairwise(sums):
        later += carry_weights * earlier[-1]
    return sums.reshape(-1)[: terms.size]


@dataclass(frozen=True, eq=False)
class Envelope:
    """A curve reduced to bins: what enters, what leaves, and the extremes in between."""

    steps: FloatArray  # the first recorded step in each bin
    first: FloatArray
    low: FloatArray  # NaN only if the whole bin is missing
    high: FloatArray
    last: FloatArray


def bin_width(span: float, bins: int) -> int:
    """The smallest power of two that covers ``span`` steps with at most ``bins`` bins."""
    width = 1
    while bins > 0 and width * bins < span:
        width *= 2
    return width


def envelope(curve: Curve, width: int) -> Envelope:
    """Minimum and maximum over bins of ``width`` steps, aligned to step 0.

    Because the bins are powers of two and start at 0, appending points changes only the last bin, and
    doubling the width joins whole bins: a picture drawn from them does not flicker while a run grows. A spike
    of a single step survives any width.
    """
    if width < 1 or width & (width - 1):
        raise ValueError(f"a bin is 1, 2, 4, 8, ... steps wide, not {width}")
    if not len(curve):
        return Envelope(curve.steps, curve.values, curve.values, curve.values, curve.values)
    bins = np.floor_divide(curve.steps, width)
    starts = np.flatnonzero(np.concatenate(([True], bins[1:] != bins[:-1])))
    ends = np.append(starts[1:], len(curve)) - 1
    return Envelope(
        curve.steps[starts],
        curve.values[starts],
        np.fmin.reduceat(curve.values, starts),
        np.fmax.reduceat(curve.values, starts),
        curve.values[ends],
    )
