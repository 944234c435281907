"""Groups of seeds as rows of the Runs table."""

from collections.abc import Mapping

from rnnprop_cli.tui.reading import Bench, stalled
from rnnprop_cli.tui.state import ViewState
from rnnprop_cli.tui.themes import Glyphs, Look
from rnnprop_cli.tui.widgets.table import Cell, Column, Row
from rnnprop_cli.view.numbers import format_loss, format_mean
from rnnprop_cli.view.table.rows import UNKNOWN
from rnnprop_cli.view.table.seed_groups import SeedGroup
from rnnprop_cli.view.table.verdicts import verdict

_WIDE = 48  # columns from which the final loss has room
_WIDER = 66
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def letter(slot: int | None) -> str:
    """The letter of a line; blank where there is none, or the alphabet is used up."""
    return " " if slot is None or slot >= len(_LETTERS) else _LETTERS[slot]


def short_rate(rate: float | None) -> str:
    """A learning rate in five characters or so.

    >>> short_rate(2**-5), short_rate(1e-7)
    ('.0312', '1e-07')
    """
    if rate is None:
        return ""
    text = f"{rate:.3g}"
    return text.removeprefix("0") if text.startswith("0.") else text


def short_loss(loss: float | None) -> str:
    """A loss in six characters or so."""
    text = format_loss(loss)
    return text.removeprefix("0") if text.startswith("0.") else text


def short_percent(percent: float | None, half_width: float | None = None) -> str:
    """A difference in six characters or so, and its uncertainty beside it; a factor where it is large.

    >>> short_percent(-7.71, 1.04), short_percent(310.04), short_percent(1972.0)
    ('-7.7 ±1.0', '+310', 'x20.7')
    """
    if percent is None:
        return "-"
    if percent >= 1000:
        return f"x{1 + percent / 100:.3g}"
    decimals = 1 if abs(percent) < 100 else 0
    return f"{percent:+.{decimals}f}" + ("" if half_width is None else f" ±{half_width:.{decimals}f}")


def run_table(
    state: ViewState, slots: Mapping[int, int], width: int, look: Look, signs: Glyphs
) -> tuple[list[Column], list[Row]]:
    """Columns that fit the width, and a row for every group listed."""
    bench = state.bench
    if bench is None:
        return [], []
    columns = [Column("", 2), Column("", 1), Column("run"), Column("lr", 5, True)]
    if width >= _WIDE:
        columns.append(Column("loss", 8 if width < _WIDER else 15, True))
    columns.append(Column(f"{signs.delta}best%", 7 if width < _WIDER else 11, True))
    if width >= _WIDER:
        columns += [Column("better", 6, True), Column("seeds", 5, True)]
    sections = state.sections()
    rows: list[Row] = []
    flat = sections and sections[0][0] is None and len({g.problem for g in sections[0][1]}) > 1
    for problem, groups in sections:
        if problem is not None:
            title = f"{signs.dash}{signs.dash} {problem.short_title} "
            rows.append(Row(("heading", problem), (Cell(title, look.palette.text, bold=True),), True))
        rows += [_row(state, bench, group, slots, width, look, signs, flat=bool(flat)) for group in groups]
    return columns, rows


def _row(
    state: ViewState,
    bench: Bench,
    group: SeedGroup,
    slots: Mapping[int, int],
    width: int,
    look: Look,
    signs: Glyphs,
    *,
    flat: bool,
) -> Row:
    slot = slots.get(group.id)
    color = None if slot is None else look.palette.series_color(slot)
    pin = signs.pin if group.id in state.pins else " "
    name = group.facts.optimizer
    if group.facts.phase == "default":
        name += " untuned"
    elif group.facts.phase == "tuning":
        name += " search"
    if group.is_best:
        name = f"{signs.best}{name}"
    if flat:
        name += f" {group.problem.short_title}"
    status = group.status
    cells: list[Cell | str] = [
        Cell(pin + letter(slot), color, bold=True),
        Cell(signs.statuses[status], look.status_color(status)),
        Cell(name, color, bold=group.is_learned),
        Cell(short_rate(group.facts.lr), look.palette.text),
    ]
    row = group.row
    if width >= _WIDE:
        loss = short_loss(row.final.mean.centre) if width < _WIDER else _loss_with_interval(group, signs)
        cells.append(loss)
    cells.append(outcome(state, bench, group, look, signs, wide=width >= _WIDER))
    if width >= _WIDER:
        counts = row.counts
        cells.append("" if row.comparison is None else f"{row.comparison.better}/{row.comparison.pairs}")
        cells.append(
            f"{counts.seeds}/{counts.planned}" if counts.seeds != counts.planned else str(counts.seeds)
        )
    return Row(group.id, tuple(cells))


def _loss_with_interval(group: SeedGroup, signs: Glyphs) -> str:
    text = format_mean(group.row.final.mean)
    return text if signs.plus_minus == "±" else text.replace("±", signs.plus_minus)


def outcome(
    state: ViewState, bench: Bench, group: SeedGroup, look: Look, signs: Glyphs, *, wide: bool
) -> Cell:
    """The difference to the best tuned baseline in percent, or what is in its way."""
    row = group.row
    total = len(group.runs)
    if group.statuses["running"]:
        if stalled(bench.experiment, state.snapshot.holder):
            return Cell("STALLED" if wide else "STALL", look.bad, bold=True)
        share = progress(bench, group)
        return Cell("starts" if share is None else f"{share:.0%}", look.busy)
    if group.statuses["failed"]:
        return Cell("FAILED" if wide else "FAIL", look.bad, bold=True)
    if row.counts.diverged:
        count = f" {row.counts.diverged}/{total}" if total > 1 and row.counts.diverged < total else ""
        return Cell(f"DIV{count}"[: 11 if wide else 7], look.warn, bold=True)
    if group.statuses["interrupted"]:
        return Cell("STOPPED" if wide else "STOP", look.warn, bold=True)
    if group.status == "queued":
        return Cell("queued" if wide else "queue", look.palette.muted)
    if group.is_best:
        return Cell(f"best {signs.best}" if wide else "best", look.palette.accent)
    percent = row.comparison.percent if row.comparison else UNKNOWN
    if percent.centre is None:
        return Cell(short_loss(row.final.mean.centre) if not wide else "")
    text = short_percent(percent.centre, percent.half_width if wide else None)
    text = text if signs.plus_minus == "±" else text.replace("±", signs.plus_minus)
    won = verdict(row) == "win"
    return Cell(text, look.good if won else None, bold=won)


def progress(bench: Bench, group: SeedGroup) -> float | None:
    """The share of its steps that a running group has done; None if nothing was recorded yet."""
    done = bench.steps_done.get(group.id)
    return min(done / group.facts.horizon, 1.0) if done else None
