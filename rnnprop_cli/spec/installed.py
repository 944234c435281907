"""Kinds that installed packages offer by entry points, spelled out as what they stand for.

A package that says

    [project.entry-points."rnnprop.optimizees"]
    two-layer = "my_package.nets:TwoLayer"

lets a spec write `kind = "two-layer"` for `kind = "module"`, `source = "my_package.nets:TwoLayer"`. Nothing of the
package is imported.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rnnprop_cli.components.learned import ARCHITECTURES
from rnnprop_cli.components.optimizees import OPTIMIZEES
from rnnprop_cli.components.optimizers import OPTIMIZERS
from rnnprop_cli.components.plugins import entry_point


class _Section(NamedTuple):
    """A table of a spec, or a list of such."""

    group: str  # of entry points
    built_in: Mapping[str, Any]  # kinds that come with the package
    kind: str  # what an entry point stands for


_SECTIONS: Final = {
    "optimizees": _Section("optimizees", OPTIMIZEES, "module"),
    "optimizee": _Section("optimizees", OPTIMIZEES, "module"),
    "optimizers": _Section("optimizers", OPTIMIZERS, "torch"),
    "optimizer": _Section("architectures", ARCHITECTURES, "architecture"),
}


def with_entry_points(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a spec with every kind that a package offers spelled out."""
    spelled = dict(data)
    for name, section in _SECTIONS.items():
        tables = data.get(name)
        if isinstance(tables, list):
            spelled[name] = [_spelled(table, section) for table in tables]
        elif isinstance(tables, dict):
            spelled[name] = _spelled(tables, section)
    return spelled


def _spelled(table: Any, section: _Section) -> Any:
    kind = table.get("kind") if isinstance(table, dict) else None
    if not isinstance(kind, str) or kind in section.built_in or "source" in table:
        return table
    source = entry_point(section.group, kind)
    return table if source is None else {**table, "kind": section.kind, "source": source}
