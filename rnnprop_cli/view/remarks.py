"""What a reader must know of a row besides its numbers."""

from rnnprop_cli.view.paper import paper_sentence
from rnnprop_cli.view.rows import SummaryRow


def remarks(row: SummaryRow) -> list[str]:
    """Sentences under the table: how the row stands to the paper's number, and whether its search was wide enough."""
    return [sentence for sentence in (paper_sentence(row), edge_sentence(row)) if sentence]


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
