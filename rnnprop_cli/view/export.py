"""Rows of a summary as text: numbers as people read them, JSON and CSV."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from rnnprop_cli.view.rows import RatePoint, Summary, SummaryRow
from rnnprop_cli.view.safe_text import safe_text

LEGEND = (
    "* best tuned baseline, chosen by its tuning runs. ±: half of the 95 % t-interval over seeds. The difference to * "
    "is paired by seed, and a row is bold only where its interval excludes zero; 'better' counts the seeds below *; "
    "'again' is the whole benchmark, search included, from another root seed. "
    "Failures: runs that diverged, are stuck at chance (final loss at or above 0.98 of that of guessing, "
    "ln 10 with ten classes), failed or are missing. "
    "Those at chance are in the mean, the others cannot be, and a row with diverged runs ranks last. Groups tell what "
    "differs from the paper's training task (the base MLP on MNIST, 100 steps), not from the task of a meta-training."
)
WIDE_LEGEND = (
    "median, IQM: over all results, diverged ones infinite, with 95 % bootstrap intervals. to target: updates until "
    "the smoothed loss (moving average of its logarithm, decay 0.9, which lags by some nine steps) is at or below the "
    "median final loss of *; median over seeds, and the share of seeds that get there. memory: of the batch "
    "that a run was part of."
)

_FORMULA: Final = (
    "=",
    "+",
    "-",
    "@",
    "＝",
    "＋",
    "－",
    "＠",
)  # the wide ones begin formulas in East Asian locales
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


def format_failures(row: SummaryRow | RatePoint) -> str:
    """Which of its runs are no success, short enough for a column; empty if all are."""
    counts = {"div": row.diverged, "chance": row.stuck, "fail": row.failed, "miss": row.missing}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def format_interval(centre: float | None, low: float | None, high: float | None) -> str:
    """A number with an interval that need not be symmetric, all to the interval's second digit.

    >>> format_interval(0.305217, 0.304112, 0.307391)
    '0.3052 [0.3041, 0.3074]'
    """
    if centre is None or not math.isfinite(centre) or low is None or high is None:
        return format_loss(centre)
    if centre and not 1e-3 <= abs(centre) < 1e5:
        return f"{centre:.2e} [{low:.2e}, {high:.2e}]"
    width = high - low
    decimals = _decimals(width) if 0 < width < math.inf else 4
    return f"{centre:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def format_target(row: SummaryRow) -> str:
    """Steps to the target and the share of seeds that get there, e.g. "62 (90 %)"; empty where nothing is known."""
    if row.target_steps is None or row.target_share is None:
        return ""
    steps = f"{row.target_steps:,.0f}" if math.isfinite(row.target_steps) else f">{row.horizon:,}"
    return f"{steps} ({row.target_share:.0%})"


def format_seconds(seconds: float | None) -> str:
    """A duration to three digits."""
    return "" if seconds is None else f"{seconds:.3g}" if math.isfinite(seconds) else "never"


def half(low: float | None, high: float | None) -> float | None:
    """Half the width of an interval."""
    return None if low is None or high is None else (high - low) / 2


def cells(row: SummaryRow) -> dict[str, str]:
    """A row as a table shows it, by column heading; text is safe for a terminal."""
    better = "" if row.seeds_better is None else f"{row.seeds_better}/{row.seeds_paired}"
    difference = format_percent(row.difference_percent, half(row.difference_low, row.difference_high))
    return {
        "#": "-" if row.rank is None else str(row.rank),
        "optimizer": safe_text(row.label) + (" *" if row.is_best_baseline else ""),
        "lr": format_rate(row.learning_rate),
        "final loss": format_loss(row.final_loss_mean, half(row.final_loss_low, row.final_loss_high)),
        "paper": "" if row.paper_final_loss is None else f"{row.paper_final_loss:.2f}",
        "% to *": "" if row.best_baseline is None else difference,
        "better": better,
        "again": ", ".join(_again(row)),
        "seeds": str(row.seeds),
        "failures": format_failures(row),
        "median": format_interval(
            row.final_loss_median, row.final_loss_median_low, row.final_loss_median_high
        ),
        "IQM": format_interval(row.final_loss_iqm, row.final_loss_iqm_low, row.final_loss_iqm_high),
        "test loss": ""
        if row.heldout_loss_mean is None
        else format_loss(row.heldout_loss_mean, half(row.heldout_loss_low, row.heldout_loss_high)),
        "test acc": "" if row.heldout_accuracy_mean is None else f"{row.heldout_accuracy_mean:.2%}",
        "to target": format_target(row),
        "s to target": format_seconds(row.target_s),
        "s": format_seconds(row.elapsed_s),
        "memory": "" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:,.0f} MiB",
    }


def _again(row: SummaryRow) -> Iterator[str]:
    """The final loss from every other root seed; where a rate was searched, that which was found there."""
    for one in row.confirmed:
        loss = format_loss(one.final_loss_mean, half(one.final_loss_low, one.final_loss_high))
        yield f"{loss} @ {format_rate(one.learning_rate)}" if row.lr_source == "tuned" else loss


# Columns in the order in which they are given up where a table is too wide.
DISPENSABLE: Final = (
    *(
        "memory",
        "s to target",
        "s",
        "test loss",
        "IQM",
        "median",
        "to target",
        "test acc",
        "better",
        "again",
        "lr",
    ),
)


def as_records(summary: Summary) -> list[dict[str, Any]]:
    """Rows as plain values; what is not finite becomes None."""
    return [
        _finite(asdict(row) | {"confirmed": [one._asdict() for one in row.confirmed]}) for row in summary.rows
    ]


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    """A record in which what is not finite is None, in the records inside it too."""
    plain: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, tuple | list):
            plain[name] = [_finite(inner) if isinstance(inner, dict) else inner for inner in value]
        else:
            plain[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return plain


def to_json(summary: Summary) -> str:
    """A JSON array with an object per row. Pure ASCII: control characters in names come out escaped."""
    return json.dumps(as_records(summary), indent=1, allow_nan=False) + "\n"


_SEVERAL: Final = ("rates", "tied_rates", "confirmed")  # lists, which CSV has no place for


def to_csv(summary: Summary) -> str:
    """CSV with a header line; what is not available or not finite is empty. The search's rates are in JSON only."""
    columns = [name for name in SummaryRow.__dataclass_fields__ if name not in _SEVERAL]
    lines = [csv_line(columns)]
    lines += [csv_line([record[name] for name in columns]) for record in as_records(summary)]
    return "\n".join(lines) + "\n"


def csv_line(values: Sequence[Any]) -> str:
    """One line of CSV without its end: None is empty, numbers are numbers, text is text for a spreadsheet too."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(
        [_csv_text(value) if isinstance(value, str) else value for value in values]
    )
    return out.getvalue()


def _csv_text(text: str) -> str:
    """Text that a spreadsheet does not take for a formula, and that is safe for a terminal.

    >>> _csv_text("=1+1"), _csv_text("-0.5"), _csv_text("adam")
    ("'=1+1", '-0.5', 'adam')
    """
    safe = safe_text(text)
    if not safe.lstrip().startswith(_FORMULA) or _is_number(safe):
        return safe
    return f"'{safe}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def used_columns(shown: Sequence[dict[str, str]], without: Sequence[str] = ()) -> list[str]:
    """Headings of the columns in which some row says something."""
    return [
        name
        for name in (shown[0] if shown else ())
        if name not in without and any(row[name] for row in shown)
    ]
