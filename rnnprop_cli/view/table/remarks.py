"""What a reader must know of a row besides its numbers."""

from collections.abc import Sequence
from typing import Final

from rnnprop_cli.view.table.rows import SummaryRow

_ROUNDING: Final = 0.005  # the paper prints two decimals


def remarks(rows: Sequence[SummaryRow]) -> list[str]:
    """Sentences under the table of one problem: how the rows stand to the paper's numbers, what their searches say."""
    found = [
        sentence
        for row in rows
        for sentence in (paper_sentence(row), edge_sentence(row), promise_sentence(row))
        if sentence
    ]
    return found + [sentence for sentence in (search_sentence(rows), baseline_sentence(rows)) if sentence]


def paper_sentence(row: SummaryRow) -> str | None:
    """How a row stands to the paper's number, in words; None if there is none.

    "agrees" means that the paper's number, rounded as it is, touches the 95 % interval of ours.
    """
    if row.paper is None:
        return None
    paper, (mean, low, high) = row.paper.final_loss, row.final.mean
    about = f"{row.label}: the paper has {paper:.2f} ({row.paper.source})"
    if mean is None:
        return f"{about}, here it gave no finite loss"
    if (mean if low is None else low) - _ROUNDING <= paper <= (mean if high is None else high) + _ROUNDING:
        return f"{about}, which agrees with {mean:.3f} here"
    percent = 100 * (mean - paper) / paper if paper else 0.0
    return f"{about}, here {mean:.3f} is {abs(percent):.1f} % {'higher' if percent > 0 else 'lower'}"


def edge_sentence(row: SummaryRow) -> str | None:
    """A warning where the best learning rate was the smallest or largest one tried: a better one may lie beyond."""
    tried = [point.learning_rate for point in row.search.rates]
    rate = row.learning_rate
    if row.lr_source != "tuned" or not tried or rate is None or min(tried) < rate < max(tried):
        return None
    return (
        f"{row.label}: its best learning rate {rate:.4g} lies at the edge of the {len(tried)} that were tried;"
        " a better one may lie beyond"
    )


def promise_sentence(row: SummaryRow) -> str | None:
    """A warning where the fresh seeds do not bear out what the search promised."""
    promised, _, high = row.search.promised
    if not row.search.promise_broken or promised is None:
        return None
    half = "" if high is None else f" ±{high - promised:.2g}"
    return (
        f"{row.label}: its tuning runs promised {promised:.4g}{half}, the fresh seeds gave "
        f"{row.final.mean.centre:.4g}: more apart than chance explains (Welch's test, 1 %), so read it with care"
    )


def search_sentence(rows: Sequence[SummaryRow]) -> str | None:
    """How long the searches were, and which rates they could not tell from the chosen one."""
    parts = [
        f"{row.optimizer} {row.search.runs} runs"
        + (f", {_rates(row)} tie" if len(row.search.tied) > 1 else "")
        for row in rows
        if row.phase == "final" and row.search.runs
    ]
    return f"Searches: {'; '.join(parts)}." if parts else None


def baseline_sentence(rows: Sequence[SummaryRow]) -> str | None:
    """A warning where the best baseline was chosen on the very seeds on which the others are compared with it."""
    best = next((row for row in rows if row.is_best_baseline), None)
    rivals = sum(row.is_tuned_baseline for row in rows)
    if best is None or rivals < 2 or best.baseline_chosen_by != "compared seeds":
        return None
    return (
        f"* {best.optimizer} is the lowest of {rivals} baselines on the compared seeds themselves, for want of tuning "
        "runs: it looks a little better than it is"
    )


def _rates(row: SummaryRow) -> str:
    return ", ".join(f"{rate:.3g}" for rate in row.search.tied)
