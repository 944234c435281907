"""The columns that a table of rows can have: each is one value of `COLUMNS`, whatever format shows it."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rnnprop_cli.view.numbers import (
    format_difference,
    format_interval,
    format_mean,
    format_rate,
    format_seconds,
)
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.table.rows import Confirmation, Counts, SummaryRow

Align = Literal["left", "right"]

GROUPS_LEGEND: Final = (
    "Groups tell what differs from the paper's training task (the base MLP on MNIST, 100 steps), not from the task of "
    "a meta-training."
)
_CENTRES_LEGEND: Final = (
    "median, IQM: over all results, diverged ones infinite, with 95 % bootstrap intervals."
)
_TARGET_LEGEND: Final = (
    "to target: updates until the smoothed loss (moving average of its logarithm, decay 0.9, which lags by some nine "
    "steps) is at or below the median final loss of *; median over seeds, and the share of seeds that get there."
)


@dataclass(frozen=True)
class Column:
    """What a table says of every row under one heading."""

    heading: str
    text: Callable[[SummaryRow], str]  # safe for a terminal; empty: nothing to say
    align: Align = "right"
    priority: int | None = None  # where a table is too wide, the lowest goes first; None: never
    legend: str = ""  # how to read it
    warns: bool = False  # whatever it says is bad news


def _optimizer(row: SummaryRow) -> str:
    return safe_text(row.label) + (" *" if row.is_best_baseline else "")


def _difference(row: SummaryRow) -> str:
    return "" if row.comparison is None else format_difference(row.comparison.percent)


def _better(row: SummaryRow) -> str:
    return "" if row.comparison is None else f"{row.comparison.better}/{row.comparison.pairs}"


def _again(row: SummaryRow) -> str:
    """The final loss from every other root seed; where a rate was searched, that which was found there."""

    def one(found: Confirmation) -> str:
        loss = format_mean(found.loss)
        return f"{loss} @ {format_rate(found.learning_rate)}" if row.lr_source == "tuned" else loss

    return ", ".join(map(one, row.confirmed))


def format_failures(counts: Counts) -> str:
    """Which runs are no success, short enough for a column; empty if all are."""
    words = {"div": counts.diverged, "chance": counts.stuck, "fail": counts.failed, "miss": counts.missing}
    return ", ".join(f"{count} {what}" for what, count in words.items() if count)


def _to_target(row: SummaryRow) -> str:
    """Steps to the target and the share of seeds that get there, e.g. "62 (90 %)"; empty where nothing is known."""
    time = row.target.time
    if time.steps is None or time.share is None:
        return ""
    steps = f"{time.steps:,.0f}" if math.isfinite(time.steps) else f">{row.problem.horizon:,}"
    return f"{steps} ({time.share:.0%})"


def _test_loss(row: SummaryRow) -> str:
    return "" if row.heldout.loss.centre is None else format_mean(row.heldout.loss)


def _test_accuracy(row: SummaryRow) -> str:
    accuracy = row.heldout.accuracy.centre
    return "" if accuracy is None else f"{accuracy:.2%}"


def _memory(row: SummaryRow) -> str:
    peak = row.cost.peak_bytes
    return "" if peak is None else f"{peak / 2**20:,.0f} MiB"


OPTIMIZER: Final = Column(
    "optimizer",
    _optimizer,
    align="left",
    legend="* best tuned baseline, chosen by its tuning runs.",
)
SEEDS: Final = Column("seeds", lambda row: str(row.counts.seeds))
COLUMNS: Final = (
    Column("#", lambda row: "-" if row.rank is None else str(row.rank)),
    OPTIMIZER,
    Column("lr", lambda row: format_rate(row.learning_rate), priority=11),
    Column(
        "final loss",
        lambda row: format_mean(row.final.mean),
        legend="±: half of the 95 % t-interval over seeds.",
    ),
    Column("paper", lambda row: "" if row.paper is None else f"{row.paper.final_loss:.2f}"),
    Column(
        "% to *",
        _difference,
        legend="The difference to * is paired by seed, and a row is bold only where its interval excludes zero.",
    ),
    Column("better", _better, priority=9, legend="better: how many of the seeds are below *."),
    Column(
        "again",
        _again,
        priority=10,
        legend="again: the whole benchmark, search included, from another root seed.",
    ),
    SEEDS,
    Column(
        "failures",
        lambda row: format_failures(row.counts),
        align="left",
        legend="Failures: runs that diverged, are stuck at chance (final loss at or above 0.98 of that of guessing, "
        "ln 10 with ten classes), failed or are missing. Those at chance are in the mean, the others cannot be, and a "
        "row with diverged runs ranks last.",
        warns=True,
    ),
    Column("median", lambda row: format_interval(row.final.median), priority=6, legend=_CENTRES_LEGEND),
    Column("IQM", lambda row: format_interval(row.final.iqm), priority=5, legend=_CENTRES_LEGEND),
    Column("test loss", _test_loss, priority=4),
    Column("test acc", _test_accuracy, priority=8),
    Column("to target", _to_target, priority=7, legend=_TARGET_LEGEND),
    Column("s to target", lambda row: format_seconds(row.target.time.seconds), priority=2),
    Column("s", lambda row: format_seconds(row.cost.elapsed_s), priority=3),
    Column("memory", _memory, priority=1, legend="memory: of the batch that a run was part of."),
)  # in the order in which they stand


def used_columns(rows: Sequence[SummaryRow], without: Iterable[Column] = ()) -> list[Column]:
    """The columns in which some row says something."""
    hidden = list(without)
    return [column for column in COLUMNS if column not in hidden and any(map(column.text, rows))]


def narrower(columns: Sequence[Column]) -> list[Column] | None:
    """The columns without the one that can be missed most easily; None where none can."""
    spare = [column for column in columns if column.priority is not None]
    if not spare:
        return None
    first = min(spare, key=lambda column: column.priority or 0)
    return [column for column in columns if column is not first]


def legend(columns: Iterable[Column]) -> str:
    """How to read a table that has these columns."""
    shown = list(columns)
    sentences = dict.fromkeys(column.legend for column in COLUMNS if column in shown and column.legend)
    return " ".join([*sentences, GROUPS_LEGEND])
