"""Axes of a bench file: a setting of `[[optimizees]]` or `[[optimizers]]` that is a list stands for each of its values.

    [[optimizees]]
    kind = "mlp"
    depth = [1, 2, 3]
    activation = ["sigmoid", "relu"]

is six tables, the last axis varying fastest. What code from outside is given (`settings`) has axes too:

    settings = { width = [32, 64], betas = [[0.9, 0.99]] }    # two tables; betas is one value, a list
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rnnprop_cli.spec.locate import Path

SECTIONS: Final = ("optimizees", "optimizers")
INNER: Final = "settings"  # of code from outside
MAX_TABLES: Final = 10_000  # per section, after expansion


@dataclass(frozen=True)
class Origin:
    """What the user wrote for one expanded table: the table's number, and which element of each axis."""

    index: int
    axes: dict[str, int]  # "width", or "settings.width"


@dataclass(frozen=True)
class Expanded:
    """A bench file's data without axes."""

    data: dict[str, Any]
    origins: dict[str, tuple[Origin, ...]]  # section → one for each expanded table
    problems: list[tuple[Path, str]]

    def written(self, path: Path) -> Path:
        """The path of the setting in the user's file, for a path in the expanded data."""
        if len(path) < 2 or path[0] not in self.origins or not isinstance(path[1], int):
            return path
        origin = self.origins[str(path[0])][path[1]]
        path = (path[0], origin.index, *path[2:])
        for length in (3, 4):
            key = ".".join(map(str, path[2:length]))
            if len(path) >= length and key in origin.axes:
                return (*path[:length], origin.axes[key], *path[length:])
        return path


def expand(data: Mapping[str, Any]) -> Expanded:
    """Replace every table that has axes by its product; what is not a list of tables is left for the validator."""
    expanded = Expanded(dict(data), {}, [])
    for section in SECTIONS:
        tables = data.get(section)
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            continue
        product: list[dict[str, Any]] = []
        origins: list[Origin] = []
        for index, table in enumerate(tables):
            axes, problems = _axes(table)
            expanded.problems.extend(((section, index, *path), message) for path, message in problems)
            count = math.prod(map(len, axes.values()))
            if len(product) + count > MAX_TABLES:
                message = f"expands to {count:,} tables: a section may have {MAX_TABLES:,}"
                expanded.problems.append(((section, index), message))
                axes = {
                    key: choices[:1] for key, choices in axes.items()
                }  # enough to find its other mistakes
            for choice in itertools.product(*axes.values()):
                chosen = dict(zip(axes, choice, strict=True))
                product.append(_chosen(table, {key: value for key, (_, value) in chosen.items()}))
                origins.append(Origin(index, {key: element for key, (element, _) in chosen.items()}))
        expanded.data[section] = product
        expanded.origins[section] = tuple(origins)
    return expanded


def _chosen(table: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The table with one value for each of its axes."""
    made = {key: values.get(key, value) for key, value in table.items()}
    if isinstance(inner := made.get(INNER), dict):
        made[INNER] = {key: values.get(f"{INNER}.{key}", value) for key, value in inner.items()}
    return made


def _axes(table: Mapping[str, Any]) -> tuple[dict[str, list[tuple[int, Any]]], list[tuple[Path, str]]]:
    """The lists of a table as (element, value) pairs without repetitions, and what is wrong with them."""
    axes: dict[str, list[tuple[int, Any]]] = {}
    problems: list[tuple[Path, str]] = []
    inner = table.get(INNER)
    places: dict[str, tuple[Path, Any]] = {key: ((key,), values) for key, values in table.items()}
    if isinstance(inner, dict):
        places |= {f"{INNER}.{key}": ((INNER, key), values) for key, values in inner.items()}
    for key, (path, values) in places.items():
        if not isinstance(values, list):
            continue
        if not values:
            problems.append((path, "is an empty list: give at least one value"))
            continue
        first: dict[str, tuple[int, Any]] = {}
        for element, value in enumerate(values):
            if f"{value!r}" in first:
                problems.append(((*path, element), "stands in this list twice"))
            first.setdefault(f"{value!r}", (element, value))
        axes[key] = list(first.values())
    return axes, problems
