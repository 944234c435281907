"""When one optimizer is said to be better than another: the one rule that every table, page and screen follows.

A win is a win only where the whole 95 % interval of the paired difference to the best tuned baseline lies below zero.
"""

from collections.abc import Sequence
from typing import Final, Literal

from rnnprop_cli.view.table.rows import SummaryRow

Verdict = Literal["win", "loss", "open"]
CHANCE_OF_A_WIN: Final = 0.025  # that an interval of 95 % lies below zero where there is no difference


def verdict(row: SummaryRow) -> Verdict | None:
    """How a row stands to the best tuned baseline.

    Returns:
        "win" or "loss" where the interval excludes zero, "open" where it does not, or there are too few seeds for one;
        None where nothing is compared. A row with runs that diverged never wins, and loses where none is left; one of
        which all runs are at chance never wins either: it has learned nothing.
    """
    if row.comparison is None or not row.comparison.pairs:
        return None
    counts, (_, low, high) = row.counts, row.comparison.percent
    if counts.diverged == counts.seeds or (low is not None and low > 0):
        return "loss"
    won = high is not None and high < 0 and not counts.diverged and counts.stuck < counts.seeds
    return "win" if won else "open"


def leads(row: SummaryRow, rows: Sequence[SummaryRow]) -> bool:
    """Whether a row is set off from the others of its problem: it wins, or is the baseline to which all others lose.

    Args:
        row: one of the rows.
        rows: those that are shown together; untuned runs and gaps do not count.
    """
    if not row.is_best_baseline:
        return verdict(row) == "win"
    rivals = [other for other in rows if other is not row and other.phase == "final" and other.counts.seeds]
    learned = row.counts.stuck < row.counts.seeds
    return learned and bool(rivals) and all(verdict(other) == "loss" for other in rivals)


def chance_sentence(rows: Sequence[SummaryRow]) -> str | None:
    """How many comparisons are wins, and how many chance alone would give; None where little is compared."""
    compared = [row for row in rows if row.phase == "final" and verdict(row) is not None]
    learned = [row for row in compared if not row.is_baseline]
    counted = learned or compared
    if len(counted) < 2:
        return None
    wins = sum(verdict(row) == "win" for row in counted)
    losses = sum(verdict(row) == "loss" for row in counted)
    who = "of learned optimizers " if learned else ""
    return (
        f"Of {len(counted)} comparisons {who}with the best tuned baseline: {_count(wins, 'win')}, "
        f"{_count(losses, 'loss', 'losses')} (95 % intervals that exclude zero), "
        f"{len(counted) - wins - losses} open. If nothing differed, chance alone would make about "
        f"{CHANCE_OF_A_WIN * len(counted):.2g} wins."
    )


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"
