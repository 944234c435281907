"""Everything about one group of seeds, as lines."""

from datetime import UTC, datetime

from rich.cells import cell_len

from rnnprop_cli.tui.reading import Bench, Snapshot, stalled
from rnnprop_cli.tui.run_rows import progress, short_rate
from rnnprop_cli.tui.themes import Glyphs, Look
from rnnprop_cli.tui.widgets.bars import Part
from rnnprop_cli.tui.widgets.lines import Line, wrapped
from rnnprop_cli.view.numbers import format_duration, format_loss, format_mean, format_remaining
from rnnprop_cli.view.shorten import shorten
from rnnprop_cli.view.table.rows import SummaryRow
from rnnprop_cli.view.table.seed_groups import SeedGroup
from rnnprop_cli.view.table.verdicts import verdict

_KEY_COLUMNS = 14


def detail_lines(
    snapshot: Snapshot, bench: Bench, group: SeedGroup, look: Look, signs: Glyphs, columns: int
) -> list[Line]:
    """Facts first, then how it compares, then what went wrong."""
    facts, row = group.facts, group.row
    muted = look.palette.muted
    words = ", ".join(f"{count} {status}" for status, count in group.statuses.items())
    room = columns - _KEY_COLUMNS - 1
    title = row.problem.title
    name = row.label + ("" if group.is_learned else " (baseline)")
    lines: list[Line] = [
        _pair("optimizer", f"{name}  lr {short_rate(facts.lr) or '-'}", muted, bold=True),
        _pair("problem", title if cell_len(title) <= room else shorten(row.problem.short_title, room), muted),
        [Part(f" {'status':<{_KEY_COLUMNS}}", muted), Part(words, look.status_color(group.status))],
        _pair("final loss", _loss(row), muted),
    ]
    if (accuracy := row.heldout.accuracy.centre) is not None:
        lines.append(_pair("test accuracy", f"{accuracy:.2%}", muted))
    lines += _comparison(bench, group, look, signs, room)
    if group.statuses["running"]:
        lines.append(_pair("progress", _eta(bench, group), muted))
        if stalled(bench.experiment, snapshot.holder):
            gone = "" if snapshot.holder is None else f" (process {snapshot.holder.pid})"
            text = f"its writer{gone} is gone: it crashed or was killed; the same command goes on from here"
            lines += wrapped(text, columns - 1, color=look.bad, indent=" ")
    elif row.cost.elapsed_s is not None:
        time = format_duration(row.cost.elapsed_s)
        lines.append(_pair("time a run", f"{time} on {facts.device}, {facts.dtype}", muted))
    if group.reason:
        color = look.bad if group.statuses["failed"] else look.warn
        lines += wrapped(group.reason, columns - 1, color=color, indent=" ")
    return lines


def _pair(key: str, value: str, muted: str, *, bold: bool = False) -> Line:
    return [Part(f" {key:<{_KEY_COLUMNS}}", muted), Part(value, bold=bold)]


def _loss(row: SummaryRow) -> str:
    if row.final.mean.centre is None:
        return "-"
    return f"{format_mean(row.final.mean)}  median {format_loss(row.final.median.centre)}"


def _comparison(bench: Bench, group: SeedGroup, look: Look, signs: Glyphs, room: int) -> list[Line]:
    row, muted = group.row, look.palette.muted
    if group.is_best:
        return [_pair("compared", f"{signs.best} the best tuned baseline here", muted)]
    best = bench.group(group.best_id)
    found = row.comparison
    if best is None or found is None:
        return [_pair("compared", "no tuned baseline has a result here yet", muted)]
    text = f"{best.row.label}  lr {short_rate(best.facts.lr)}  {format_loss(best.row.final.mean.centre)}"
    lines = [_pair(f"{signs.best} baseline", text, muted)]
    centre, low, high = found.percent
    if centre is not None:
        how = verdict(row) or ""
        word = {"win": "better", "loss": "worse"}.get(how, "undecided")
        color = {"win": look.good, "loss": look.warn}.get(how)
        text = f"{centre:+.1f} %, {word}"
        if low is not None and high is not None:  # as much of it as fits: half a number is another one
            interval = f"{low:+.1f} to {high:+.1f})"
            ends = (f"  (95 %: {interval}", f"  ({interval}", "")
            text += next(end for end in ends if not end or cell_len(text + end) <= room)
        lines.append([Part(f" {'paired diff':<{_KEY_COLUMNS}}", muted), Part(text, color, bold=True)])
    lines.append(_pair("seeds better", f"{found.better} of {found.pairs}", muted))
    return lines


def _eta(bench: Bench, group: SeedGroup) -> str:
    share = progress(bench, group)
    if share is None:
        return "no step recorded yet"
    text = f"{bench.steps_done[group.id]:,} of {group.facts.horizon:,} steps ({share:.0%})"
    started = next((run.started_utc for run in group.runs if run.result.status == "running"), None)
    if started and 0 < share < 1:
        try:
            elapsed = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
        except (ValueError, TypeError):
            return text
        if elapsed > 1:
            text += f", about {format_remaining(elapsed * (1 - share) / share)} to go"
    return text
