"""Groups of seeds as rows of the Runs table."""

from collections.abc import Sequence

from rnnprop_cli.tui.reading import Bench, stalled
from rnnprop_cli.tui.state import ViewState
from rnnprop_cli.tui.themes import Glyphs, Look
from rnnprop_cli.tui.widgets.table import Cell, Column, Row, column_widths
from rnnprop_cli.view.numbers import format_loss, format_mean
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.shorten import distinct
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
    """A learning rate in three digits, in as few characters as these need.

    >>> short_rate(2**-5), short_rate(2**-15), short_rate(1e-7)
    ('.0312', '3.05e-5', '1e-7')
    """
    if rate is None:
        return ""
    mantissa, power, exponent = f"{rate:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if power else mantissa.removeprefix("0") or "0"


def short_loss(loss: float | None) -> str:
    """A loss in six characters or so."""
    text = format_loss(loss)
    return text.removeprefix("0") if text.startswith("0.") else text


def short_percent(percent: float | None, half_width: float | None = None) -> str:
    """A difference in six characters or so, and its uncertainty beside it; a factor where it is large.

    >>> [short_percent(percent) for percent in (-7.71, 310.04, 1972.0, 663_000.0, 5.2e9)]
    ['-7.7', '+310', 'x20.7', 'x6,631', 'x5.2e7']
    """
    if percent is None:
        return "-"
    if percent >= 1000:
        return f"x{_short_factor(1 + percent / 100)}"
    decimals = 1 if abs(percent) < 100 else 0
    return f"{percent:+.{decimals}f}" + ("" if half_width is None else f" ±{half_width:.{decimals}f}")


def _short_factor(factor: float) -> str:
    if factor < 999.5:
        return f"{factor:.3g}"
    if factor < 99_999.5:
        return f"{factor:,.0f}"
    mantissa, _, exponent = f"{factor:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def run_table(state: ViewState, width: int, look: Look, signs: Glyphs) -> tuple[list[Column], list[Row]]:
    """Columns that fit the width, and a row for every group listed."""
    bench = state.bench
    if bench is None:
        return [], []
    sections = state.sections()
    rates = [short_rate(group.facts.lr) for _, groups in sections for group in groups]
    columns = [Column("", 2), Column("", 1), Column("run"), Column("lr", max(map(len, ["lr", *rates])), True)]
    if width >= _WIDE:
        columns.append(Column("final" if width < _WIDER else "final loss", 8 if width < _WIDER else 15, True))
    columns.append(Column(f"{signs.delta}final%", 7 if width < _WIDER else 11, True))
    if width >= _WIDER:
        columns += [Column("better", 6, True), Column("seeds", 5, True)]
    drawn = state.drawn()
    slots, letters = state.slots(drawn), state.letters(drawn)
    room = column_widths(columns, width)[2]
    rows: list[Row] = []
    for problem, groups in sections:
        if problem is not None:
            title = f"{signs.dash}{signs.dash} {problem.short_title}"
            rows.append(Row(("heading", problem), (Cell(title, look.palette.text, bold=True),), True))
        flat = problem is None and len({group.problem for group in groups}) > 1
        for group, name in zip(groups, _names(groups, room, signs, flat=flat), strict=True):
            pin, slot = signs.pin if group.id in state.pins else " ", slots.get(group.id)
            color = None if slot is None else look.palette.series_color(slot)
            cells: list[Cell | str] = [
                Cell(pin + letter(letters.get(group.id)), color, bold=True),
                Cell(signs.statuses[group.status], look.status_color(group.status)),
                Cell(name, color, bold=group.is_learned),
                Cell(short_rate(group.facts.lr), look.palette.text),
            ]
            rows.append(Row(group.id, (*cells, *_results(state, bench, group, width, look, signs))))
    return columns, rows


def _names(groups: Sequence[SeedGroup], room: int, signs: Glyphs, *, flat: bool) -> list[str]:
    """What the rows are called, in as much room as there is; no two of one learning rate alike."""
    words = {"default": " untuned", "tuning": " search"}
    texts = [
        f"{signs.best if group.is_best else ''}{safe_text(group.facts.optimizer)}{words.get(group.facts.phase, '')}"
        + (f" {safe_text(group.problem.short_title)}" if flat else "")
        for group in groups
    ]
    by_rate: dict[str, list[int]] = {}
    for at, group in enumerate(groups):
        by_rate.setdefault(short_rate(group.facts.lr), []).append(at)
    for places in by_rate.values():
        for at, text in zip(places, distinct([texts[at] for at in places], room), strict=True):
            texts[at] = text
    return texts


def _results(
    state: ViewState, bench: Bench, group: SeedGroup, width: int, look: Look, signs: Glyphs
) -> list[Cell | str]:
    row, wide = group.row, width >= _WIDER
    cells: list[Cell | str] = []
    if width >= _WIDE:
        cells.append(_loss_with_interval(group, signs) if wide else short_loss(row.final.mean.centre))
    cells.append(outcome(state, bench, group, look, signs, wide=wide))
    if wide:
        counts = row.counts
        cells.append("" if row.comparison is None else f"{row.comparison.better}/{row.comparison.pairs}")
        cells.append(
            f"{counts.seeds}/{counts.planned}" if counts.seeds != counts.planned else str(counts.seeds)
        )
    return cells


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
        return Cell("")  # a loss has no place among differences
    text = short_percent(percent.centre, percent.half_width if wide else None)
    text = text if signs.plus_minus == "±" else text.replace("±", signs.plus_minus)
    match verdict(row):
        case "win":
            return Cell(text, look.good, bold=True)
        case "loss":
            return Cell(text, look.warn)
        case _:
            return Cell(text)


def progress(bench: Bench, group: SeedGroup) -> float | None:
    """The share of its steps that a running group has done; None if nothing was recorded yet."""
    done = bench.steps_done.get(group.id)
    return min(done / group.facts.horizon, 1.0) if done else None
