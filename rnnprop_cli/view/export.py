"""Rows of a summary as text: numbers as people read them, JSON, CSV and Markdown."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.summary import Summary, SummaryRow

LEGEND = (
    "* best tuned baseline. ±: half of the 95 % t-interval over seeds. The difference to * is paired by seed; "
    "'better' counts the seeds below it. Failures: runs that diverged, failed or are missing; none of them is in the "
    "mean, and a row with diverged runs ranks last."
)


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
    if not half_width:
        return f"{mean:.4f}" if abs(mean) < 10 else f"{mean:.4g}"
    decimals = min(6, max(0, 1 - math.floor(math.log10(half_width))))
    return f"{mean:.{decimals}f} ±{half_width:.{decimals}f}"


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
    decimals = 1 if abs(percent) < 1000 else 0
    return f"{percent:+.{decimals}f}" + ("" if half_width is None else f" ±{half_width:.{decimals}f}")


def format_failures(row: SummaryRow) -> str:
    """Which of the row's runs gave no finite loss, short enough for a column; empty if all did."""
    counts = {"div": row.diverged, "fail": row.failed, "miss": row.missing}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


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
        "% to *": "" if row.best_baseline is None else difference,
        "better": better,
        "seeds": str(row.seeds),
        "test acc": "" if row.heldout_accuracy_mean is None else f"{row.heldout_accuracy_mean:.2%}",
        "failures": format_failures(row),
    }


def as_records(summary: Summary) -> list[dict[str, Any]]:
    """Rows as plain values; what is not finite becomes None."""
    return [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(row).items()
        }
        for row in summary.rows
    ]


def to_json(summary: Summary) -> str:
    """A JSON array with an object per row. Pure ASCII: control characters in names come out escaped."""
    return json.dumps(as_records(summary), indent=1, allow_nan=False) + "\n"


def to_csv(summary: Summary) -> str:
    """CSV with a header line; what is not available or not finite is empty."""
    lines = [csv_line(tuple(SummaryRow.__dataclass_fields__))]
    lines += [csv_line(tuple(record.values())) for record in as_records(summary)]
    return "\n".join(lines) + "\n"


def csv_line(values: Sequence[Any]) -> str:
    """One line of CSV without its end: None is empty, text is safe for a terminal."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(
        [safe_text(value) if isinstance(value, str) else value for value in values]
    )
    return out.getvalue()


def to_markdown(summary: Summary) -> str:
    """A heading and a table for each problem, best row in bold."""
    lines = [f"# {_escape(safe_text(summary.bench))}", ""]
    for problem, rows in summary.problems:
        shown = [cells(row) for row in rows]
        columns = used_columns(shown)
        lines += [f"## {_escape(safe_text(problem.title))}", "", _line(columns)]
        lines.append(_line([":---" if name in ("optimizer", "failures") else "---:" for name in columns]))
        for row, values in zip(rows, shown, strict=True):
            texts = [_escape(values[name]) for name in columns]
            lines.append(_line([f"**{text}**" if row.rank == 1 and text else text for text in texts]))
        lines.append("")
    lines += [_escape(LEGEND), ""] if summary.rows else []
    return "\n".join(lines)


def used_columns(shown: Sequence[dict[str, str]], without: Sequence[str] = ()) -> list[str]:
    """Headings of the columns in which some row says something."""
    return [
        name
        for name in (shown[0] if shown else ())
        if name not in without and any(row[name] for row in shown)
    ]


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escape(text: str) -> str:
    for character in "\\`*_|<>[]#":
        text = text.replace(character, "\\" + character)
    return text
