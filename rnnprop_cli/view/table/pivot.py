"""A benchmark as a heat table: how far one optimizer is from the best tuned baseline, over the matrix's axes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rnnprop_cli.view.table.seed_groups import SeedGroup

AxisName = Literal["optimizer", "optimizee", "depth", "activation", "horizon"]
AXES: Final[tuple[AxisName, ...]] = ("optimizer", "optimizee", "depth", "activation", "horizon")
_COLUMN_PREFERENCE: Final[tuple[AxisName, ...]] = ("horizon", "depth", "optimizer", "optimizee", "activation")

Label = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Pivot:
    """Groups by row and column; a cell without a measured group is absent."""

    row_axes: tuple[AxisName, ...]  # of which every row label has one word
    column_axis: AxisName
    rows: tuple[Label, ...]
    columns: tuple[str, ...]
    cells: dict[tuple[int, int], SeedGroup]


def compared_groups(groups: Iterable[SeedGroup], *, learned_only: bool) -> list[SeedGroup]:
    """The groups that a matrix shows: measured finally; learned ones alone if that is asked for and makes a matrix."""
    final = [group for group in groups if group.facts.phase == "final"]
    learned = [group for group in final if group.is_learned]
    return learned if learned and learned_only and not is_one_problem(final) else final


def is_one_problem(groups: Iterable[SeedGroup]) -> bool:
    """Whether optimizers are all that they differ in."""
    return len({group.problem for group in groups}) == 1


def varied_axes(groups: Sequence[SeedGroup]) -> list[AxisName]:
    """Axes along which the groups differ."""
    return [axis for axis in AXES if len({_word(group, axis) for group in groups}) > 1]


def column_choices(groups: Sequence[SeedGroup]) -> list[AxisName]:
    """Axes that can make columns, the most useful first."""
    varied = varied_axes(groups)
    choices = [axis for axis in _COLUMN_PREFERENCE if axis in varied]
    # Optimizers need another axis across, or all that is seen is a diagonal.
    return choices if choices and choices != ["optimizer"] else ["horizon"]


def pivot(groups: Sequence[SeedGroup], column_axis: AxisName) -> Pivot:
    """Lay groups out over two dimensions; every axis that varies is in the rows or the columns."""
    row_axes = tuple(axis for axis in varied_axes(groups) if axis != column_axis) or ("optimizer",)
    ordered = list(groups)  # of one problem: by rank
    if not is_one_problem(groups):
        ordered.sort(key=lambda group: (*(_axis_order(group, axis) for axis in row_axes), group.id))
    labels = {group.id: tuple(_word(group, axis) for axis in row_axes) for group in ordered}
    rows = tuple(dict.fromkeys(labels[group.id] for group in ordered))
    by_value = sorted(groups, key=lambda group: _axis_order(group, column_axis))
    columns = tuple(dict.fromkeys(_word(group, column_axis) for group in by_value))
    cells: dict[tuple[int, int], SeedGroup] = {}
    for group in ordered:
        place = rows.index(labels[group.id]), columns.index(_word(group, column_axis))
        cells.setdefault(place, group)
    return Pivot(row_axes, column_axis, rows, columns, cells)


def _word(group: SeedGroup, axis: AxisName) -> str:
    problem = group.problem
    match axis:
        case "optimizer":
            return group.facts.optimizer
        case "optimizee":
            return " ".join(filter(None, (problem.dataset, problem.optimizee)))
        case "depth":
            return "-" if problem.depth is None else str(problem.depth)
        case "activation":
            return problem.activation or "-"
        case "horizon":
            return f"{problem.horizon:,}"


def _axis_order(group: SeedGroup, axis: AxisName) -> tuple[object, ...]:
    problem = group.problem
    if axis == "horizon":
        return (problem.horizon,)
    if axis == "depth":
        return (-1 if problem.depth is None else problem.depth,)
    return (not group.is_learned, _word(group, axis))
