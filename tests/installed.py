"""Packages that are installed for a test, as far as anybody who looks for them can tell."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rnnprop_cli.components import plugins


def install(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    name: str,
    version: str,
    entry_points: Mapping[str, Mapping[str, str]],
) -> None:
    """Makes the modules in a folder a distribution. Groups of entry points hold values by names."""
    module = name.replace("-", "_")
    facts = folder / f"{module}-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (facts / "top_level.txt").write_text(f"{module}\n")
    lines = (
        [f"[{group}]", *(f"{each} = {value}" for each, value in named.items())]
        for group, named in entry_points.items()
    )
    (facts / "entry_points.txt").write_text("\n".join(line for group in lines for line in group) + "\n")
    monkeypatch.syspath_prepend(str(folder))
    plugins._distributions.cache_clear()
