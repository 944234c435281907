"""What a handful of seeds says: means, robust centres, intervals and paired differences.

Everything here is deterministic: the bootstrap draws from a generator of its own with a fixed seed, so the same runs
always give the same table. Infinity is a value (a run that diverged is worse than any other); NaN is not accepted.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL: Final = 0.95
RESAMPLES: Final = 2000
_SEED: Final = 0


class Estimate(NamedTuple):
    """A centre and its 95 % interval; None where there are too few values."""

    centre: float | None
    low: float | None
    high: float | None

    @property
    def half_width(self) -> float | None:
        """Half of a symmetric interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


class PairedDifference(NamedTuple):
    """How runs compare with reference runs on the same seeds, in percent of the reference's mean.

    `pairs` counts the seeds that both have, `better` those on which the value is below the reference. A pair with a
    diverged run counts there (whoever did not diverge is better) but cannot enter the difference.
    """

    percent: Estimate
    better: int
    pairs: int


def mean_with_interval(values: Sequence[float]) -> Estimate:
    """Mean of finite values with Student's t-interval: mean -+ t(0.975, n - 1) s / sqrt(n).

    >>> mean_with_interval([1.0, 2.0, 3.0])[0]
    2.0
    """
    x = np.asarray(values, dtype=np.float64)
    if not x.size:
        return Estimate(None, None, None)
    mean = math.fsum(x) / x.size  # exactly rounded, so that equal rows stay equal in any order of their runs
    if x.size == 1:
        return Estimate(mean, None, None)
    from scipy.special import stdtrit  # scipy.stats would take ten times as long to import

    t = float(stdtrit(x.size - 1, (1 + LEVEL) / 2))
    half = t * float(x.std(ddof=1)) / float(np.sqrt(x.size))
    return Estimate(mean, mean - half, mean + half)


def differ(values: Sequence[float], others: Sequence[float], level: float = 0.99) -> bool:
    """Whether two independent samples have different means, by Welch's t-test at 1 - level; False for too few values.

    >>> differ([1.0, 1.1, 0.9, 1.0], [2.0, 2.1, 1.9, 2.0])
    True
    """
    x, y = np.asarray(values, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if min(x.size, y.size) < 2:
        return False
    a, b = x.var(ddof=1) / x.size, y.var(ddof=1) / y.size
    gap = abs(float(x.mean() - y.mean()))
    if a + b == 0:
        return gap > 0
    from scipy.special import stdtrit

    freedom = (a + b) ** 2 / (a**2 / (x.size - 1) + b**2 / (y.size - 1))  # Welch-Satterthwaite
    return bool(gap > stdtrit(freedom, (1 + level) / 2) * np.sqrt(a + b))


def median(values: Sequence[float]) -> float | None:
    """Median; of an even count the mean of the middle two, infinite if one of them is."""
    return float(np.median(values)) if len(values) else None


def median_with_interval(values: Sequence[float]) -> Estimate:
    """Median with a percentile bootstrap interval."""
    return _bootstrapped(values, _medians)


def interquartile_mean(values: Sequence[float]) -> Estimate:
    """Mean of the middle half (Agarwal et al. 2021) with a percentile bootstrap interval.

    As there and in `scipy.stats.trim_mean`, floor(n / 4) values are cut at each end. Infinite where more runs diverged
    than are cut.
    """
    return _bootstrapped(values, _trimmed_means)


def _bootstrapped(
    values: Sequence[float], of_rows: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Estimate:
    """A statistic and its percentile bootstrap interval (Efron 1979): `RESAMPLES` resamples with a fixed seed."""
    x = np.asarray(values, dtype=np.float64)
    if not x.size:
        return Estimate(None, None, None)
    centre = float(of_rows(x[None, :])[0])
    if x.size == 1:
        return Estimate(centre, None, None)
    draws = np.random.default_rng(_SEED).integers(0, x.size, size=(RESAMPLES, x.size))
    # inverted_cdf picks one of the resamples; interpolating between a number and infinity would give NaN
    low, high = np.quantile(of_rows(x[draws]), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return Estimate(centre, float(low), float(high))


def _medians(x_RN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each row."""
    medians: NDArray[np.float64] = np.median(x_RN, axis=1)
    return medians


def _trimmed_means(x_RN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the middle half of each row."""
    cut = x_RN.shape[1] // 4
    means: NDArray[np.float64] = np.sort(x_RN, axis=1)[:, cut : x_RN.shape[1] - cut].mean(axis=1)
    return means


def paired_difference(values: dict[int, float], reference: dict[int, float]) -> PairedDifference:
    """Difference of `values` to `reference`, both by seed: 100 (v_i - r_i) / mean(r) over the common seeds.

    The denominator is taken as known: the interval is that of the mean difference. No percentage is given where the
    reference's mean is not positive.
    """
    seeds = sorted(values.keys() & reference.keys())
    better = sum(values[seed] < reference[seed] for seed in seeds)
    finite = [seed for seed in seeds if np.isfinite([values[seed], reference[seed]]).all()]
    scale = float(np.mean([reference[seed] for seed in finite])) if finite else 0.0
    if scale <= 0:
        return PairedDifference(Estimate(None, None, None), better, len(seeds))
    differences = [100 * (values[seed] - reference[seed]) / scale for seed in finite]
    return PairedDifference(mean_with_interval(differences), better, len(seeds))
