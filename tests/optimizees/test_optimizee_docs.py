"""docs/optimizees.md has a section for every kind, with every setting and its default."""

import re
from pathlib import Path

from rnnprop_cli.components.datasets import sources
from rnnprop_cli.components.optimizees import OPTIMIZEES

PAGE = (Path(__file__).parents[2] / "docs" / "optimizees.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(\w+)`[^\n]*\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))


def test_every_kind_has_its_section_with_every_setting() -> None:
    documented = {
        kind: dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", text, flags=re.MULTILINE))
        for kind, text in SECTIONS.items()
    }
    expected = {
        kind: {
            name: "required" if field.is_required() else _toml(field.default)
            for name, field in spec.model_fields.items()
            if name != "kind"
        }
        for kind, spec in OPTIMIZEES.items()
    }
    assert documented == expected


def test_every_dataset_is_named() -> None:
    assert all(f"`{name}`" in PAGE.split("## Datasets")[1] for name in sources())


def _toml(value: object) -> str:
    if value in (None, "", ()):
        return "none"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'`"{text}"`' if isinstance(value, str) else f"`{text}`" if isinstance(value, bool) else text
