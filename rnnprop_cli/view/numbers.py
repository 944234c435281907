"""How a number is written, wherever it is shown."""

import math
from typing import Final

from rnnprop_cli.statistics import Estimate

_NO_UNCERTAINTY: Final = 5e-7  # less than the last digit that is ever shown


def format_loss(mean: float | None, half_width: float | None = None) -> str:
    """A loss with its uncertainty, both to the uncertainty's second digit.

    >>> format_loss(0.305217, 0.001342)
    '0.3052 ±0.0013'
    """
    if mean is None:
        return "-"
    if not math.isfinite(mean):
        return "inf" if mean > 0 else str(mean)
    if mean and not 1e-3 <= abs(mean) < 1e5:
        return f"{mean:.3e}" + (f" ±{half_width:.1e}" if half_width is not None else "")
    if half_width is None or half_width < _NO_UNCERTAINTY:
        return f"{mean:.4f}" if abs(mean) < 10 else f"{mean:.4g}"
    decimals = _decimals(half_width)
    return f"{mean:.{decimals}f} ±{half_width:.{decimals}f}"


def _decimals(uncertainty: float) -> int:
    """Digits after the point down to the second one of an uncertainty."""
    return min(6, max(0, 1 - math.floor(math.log10(uncertainty))))


def format_rate(rate: float | None) -> str:
    """A learning rate.

    >>> format_rate(2**-5)
    '0.03125'
    """
    return "-" if rate is None else f"{rate:.4g}"


def format_percent(percent: float | None, half_width: float | None = None) -> str:
    """A signed difference in percent, without the sign of percent.

    >>> format_percent(-7.71, 1.04)
    '-7.7 ±1.0'
    """
    if percent is None:
        return "-"
    if abs(percent) >= 1e5:
        return f"{percent:+.1e}" + ("" if half_width is None else f" ±{half_width:.0e}")
    decimals = 1 if abs(percent) < 1000 else 0
    return f"{percent:+.{decimals}f}" + ("" if half_width is None else f" ±{half_width:.{decimals}f}")


def format_interval(estimate: Estimate) -> str:
    """A number with an interval that need not be symmetric, all to the interval's second digit.

    >>> format_interval(Estimate(0.305217, 0.304112, 0.307391))
    '0.3052 [0.3041, 0.3074]'
    """
    centre, low, high = estimate
    if centre is None or not math.isfinite(centre) or low is None or high is None:
        return format_loss(centre)
    if centre and not 1e-3 <= abs(centre) < 1e5:
        return f"{centre:.2e} [{low:.2e}, {high:.2e}]"
    width = high - low
    decimals = _decimals(width) if 0 < width < math.inf else 4
    return f"{centre:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def format_seconds(seconds: float | None) -> str:
    """A duration in seconds, to three digits or to the second."""
    if seconds is None:
        return ""
    if not math.isfinite(seconds):
        return "never"
    return f"{seconds:.3g}" if seconds < 999.5 else f"{seconds:,.0f}"


def format_duration(seconds: float) -> str:
    """A duration as people say it, in the unit that suits it.

    >>> [format_duration(seconds) for seconds in (0.0123, 3.214, 75, 7500, 200_000)]
    ['12.3 ms', '3.21 s', '1 min 15 s', '2 h 5 min', '2 d 7 h']
    """
    if seconds < 0.9995:
        return f"{1e3 * seconds:.3g} ms"
    if seconds < 59.5:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days} d {hours_left} h"
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def format_remaining(seconds: float) -> str:
    """How long something goes on yet, to the second."""
    return format_duration(max(round(seconds), 1))


def format_mean(loss: Estimate) -> str:
    """A loss with half of its symmetric interval."""
    return format_loss(loss.centre, loss.half_width)


def format_difference(percent: Estimate) -> str:
    """A signed difference in percent with half of its symmetric interval."""
    return format_percent(percent.centre, percent.half_width)
