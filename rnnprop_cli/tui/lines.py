"""Lines of groups as series of the plot, and what their title says."""

from collections.abc import Mapping, Sequence

from rnnprop_cli.tui.plot import PlotSeries
from rnnprop_cli.tui.run_rows import letter, short_rate
from rnnprop_cli.tui.state import BAND_NAMES, ViewState
from rnnprop_cli.tui.themes import Glyphs
from rnnprop_cli.view.curves.curve import Band, Curve
from rnnprop_cli.view.curves.seed_lines import decay_over
from rnnprop_cli.view.table.seed_groups import SeedGroup


def group_label(group: SeedGroup, signs: Glyphs) -> str:
    """A group in a legend: the best tuned baseline and every search name their learning rate."""
    name = group.row.label
    if group.is_best or group.facts.phase == "tuning":
        name += f" lr {short_rate(group.facts.lr)}"
    return f"{name} {signs.best}" if group.is_best else name


def group_series(
    drawn: Sequence[SeedGroup],
    slots: Mapping[int, int],
    letters: Mapping[int, int],
    lines: Mapping[int, Curve | Band],
    signs: Glyphs,
    *,
    first: int | None = None,
) -> list[PlotSeries]:
    """A series for each group that has a curve: ``first`` and learned ones on top, the best baseline dashed."""
    series = []
    ordered = sorted(drawn, key=lambda group: (group.id != first, not group.is_learned, not group.is_best))
    several = len({group.problem for group in drawn}) > 1
    for group in ordered:
        line = lines.get(group.id)
        if line is None or not len(line):
            continue
        slot = slots[group.id]
        label = group_label(group, signs)
        if several:
            label += f" ({group.problem.short_title})"
        ended_badly = group.status in ("failed", "interrupted")
        series.append(
            PlotSeries.of(
                label,
                letter(letters[group.id]).strip(),
                line,
                dashed=group.is_best,
                color_index=slot,
                end_marker=signs.statuses[group.status] if ended_badly else None,
            )
        )
    return series


def plot_notes(state: ViewState, drawn: Sequence[SeedGroup], *, bands: bool) -> str:
    """What was done to the curves: the kind of band, over how many seeds, and the smoothing."""
    words = []
    seeds = max((len(group.runs) for group in drawn), default=0)
    if seeds > 1:
        band = BAND_NAMES[state.style.band] if bands else ""
        words.append(f"{band} of {seeds} seeds" if band else f"median of {seeds} seeds")
    horizon = max((group.facts.horizon for group in drawn), default=1)
    words.append(smoothing_note(decay_over(horizon, state.style.smoothing)))
    return " · ".join(word for word in words if word)


def smoothing_note(decay: float) -> str:
    """e.g. "EMA .98"; empty where nothing is smoothed."""
    return f"EMA {decay:.3g}".replace("0.", ".") if decay else ""
