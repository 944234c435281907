"""The table of `rnnprop weights list`. All text passes through `safe_text`."""

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import JustifyMethod
from rich.table import Table

from rnnprop_cli.runs.weights_list import ListedWeights
from rnnprop_cli.view.numbers import format_loss, format_rate
from rnnprop_cli.view.safe_text import safe_text

_TASK: Final = "meta-trained on"
_COLUMNS: Final[tuple[tuple[str, JustifyMethod], ...]] = (
    *(("name", "left"), ("kind", "left"), (_TASK, "left"), ("meta-iter.", "right"), ("alpha", "right")),
    *(("valid.", "right"), ("state", "left")),
)
_UNFINISHED: Final = "! "  # before the state of a meta-training that is not done


def weights_table(found: Sequence[ListedWeights]) -> Table:
    """One line for each set of weights."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name, justify in _COLUMNS:
        # The one column that gives way where the terminal is narrow.
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name != _TASK)
    for each in found:
        state = "shipped" if each.origin == "shipped" else each.state
        finished = each.origin == "shipped" or each.state == "done"
        table.add_row(
            safe_text(each.name),
            safe_text(each.kind or "-"),
            safe_text(each.task or "-"),
            "-" if each.meta_iterations is None else f"{each.meta_iterations:,}",
            format_rate(each.alpha),
            format_loss(each.validation_loss),
            safe_text(state if finished else _UNFINISHED + state),
            style=None if finished else "dim",
        )
    return table
