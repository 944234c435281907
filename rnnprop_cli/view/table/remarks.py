"""What a reader must know of a row besides its numbers."""

from collections.abc import Sequence

from rnnprop_cli.view.table.paper import paper_sentence
from rnnprop_cli.view.table.rows import SummaryRow


def remarks(rows: Sequence[SummaryRow]) -> list[str]:
    """Sentences under the table of one problem: how the rows stand to the paper's numbers, what their searches say."""
    found = [
        sentence
        for row in rows
        for sentence in (paper_sentence(row), edge_sentence(row), promise_sentence(row))
        if sentence
    ]
    return found + [sentence for sentence in (search_sentence(rows), baseline_sentence(rows)) if sentence]


def edge_sentence(row: SummaryRow) -> str | None:
    """A warning where the best learning rate was the smallest or largest one tried: a better one may lie beyond."""
    tried = [point.learning_rate for point in row.rates]
    rate = row.learning_rate
    if row.lr_source != "tuned" or not tried or rate is None or min(tried) < rate < max(tried):
        return None
    return (
        f"{row.label}: its best learning rate {rate:.4g} lies at the edge of the {len(tried)} that were tried;"
        " a better one may lie beyond"
    )


def promise_sentence(row: SummaryRow) -> str | None:
    """A warning where the fresh seeds do not bear out what the search promised."""
    if not row.promise_broken or row.promised_mean is None:
        return None
    half = "" if row.promised_high is None else f" ±{row.promised_high - row.promised_mean:.2g}"
    return (
        f"{row.label}: its tuning runs promised {row.promised_mean:.4g}{half}, the fresh seeds gave "
        f"{row.final_loss_mean:.4g}: more apart than chance explains (Welch's test, 1 %), so read it with care"
    )


def search_sentence(rows: Sequence[SummaryRow]) -> str | None:
    """How long the searches were, and which rates they could not tell from the chosen one."""
    parts = [
        f"{row.optimizer} {row.search_runs} runs"
        + (f", {_rates(row)} tie" if len(row.tied_rates) > 1 else "")
        for row in rows
        if row.phase == "final" and row.search_runs
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
    return ", ".join(f"{rate:.3g}" for rate in row.tied_rates)
