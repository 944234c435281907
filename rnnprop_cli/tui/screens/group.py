"""A row of the Runs table in full: its facts, and its runs seed by seed."""

import math

from rnnprop_cli.records import RunInfo
from rnnprop_cli.tui.reading import Bench, Snapshot
from rnnprop_cli.tui.run_rows import short_loss
from rnnprop_cli.tui.screens.ask import Read
from rnnprop_cli.tui.themes import Glyphs, Look
from rnnprop_cli.tui.widgets.detail import detail_lines
from rnnprop_cli.tui.widgets.table import Cell, Column, Row
from rnnprop_cli.view.table.seed_groups import SeedGroup

_TEXT_ROWS = 9


def group_layer(snapshot: Snapshot, bench: Bench, group: SeedGroup, look: Look, signs: Glyphs) -> Read:
    """The layer that shows it."""
    columns = [
        Column("seed", 10, True), Column("", 1), Column("status", 11), Column("final", 7, True),
        Column("test", 7, True), Column("acc", 6, True), Column("s", 7, True), Column("what happened"),
    ]  # fmt: skip
    rows = [_row(run, look, signs) for run in group.runs]
    return Read(
        f"{group.row.label} · {group.problem.title}",
        lambda width, height: detail_lines(snapshot, bench, group, look, signs, width),
        (columns, rows),
        text_rows=_TEXT_ROWS,
    )


def _row(run: RunInfo, look: Look, signs: Glyphs) -> Row:
    result = run.result
    color = look.status_color(result.status)
    happened = result.error or ""
    if result.status == "diverged" and result.first_bad_step is not None:
        happened = f"not finite from step {result.first_bad_step:,}"
    cells: tuple[Cell | str, ...] = (
        str(run.facts.seed),
        Cell(signs.statuses[result.status], color),
        Cell(result.status, color),
        _loss(result.final_loss),
        _loss(result.heldout_loss),
        "" if result.heldout_accuracy is None else f"{result.heldout_accuracy:.1%}",
        "" if result.elapsed_s is None else f"{result.elapsed_s:.3g}",
        happened.replace("\n", " "),
    )
    return Row(run.id, cells)


def _loss(loss: float | None) -> str:
    if loss is None:
        return ""
    return "nan" if math.isnan(loss) else short_loss(loss)
