"""`--set a.b=value`: settings laid over a file."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rnnprop_cli.errors import SpecError
from rnnprop_cli.spec.bounds import excess
from rnnprop_cli.spec.locate import Path

_MAX_CHARACTERS: Final = 10_000
_KEY: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9._ -]*")


@dataclass(frozen=True)
class Override:
    """One `--set`: where, what, and how it was typed."""

    path: Path
    value: Any
    typed: str

    def concerns(self, path: Path) -> bool:
        """Whether a problem at `path` is, or may be, of this override's making."""
        shorter = min(len(path), len(self.path))
        return shorter > 0 and path[:shorter] == self.path[:shorter]


def parse_override(typed: str) -> Override:
    """Read `a.b=value`; the value is TOML, and a plain word needs no quotes.

    Raises:
        SpecError: it is not of that form.
    """
    if excess(typed) is not None or len(typed) > _MAX_CHARACTERS:
        raise SpecError([f"--set {typed[:60]}...: is too long or too deep for a setting"])
    key, equals, value = (part.strip() for part in typed.partition("="))
    if not equals or not _KEY.fullmatch(key):
        raise SpecError([f"--set {typed}: must be key=value, for instance truncation.horizon=200"])
    try:
        parsed = tomllib.loads(f"value = {value}")
        if parsed.keys() != {"value"}:
            raise ValueError  # a line break smuggled in another setting
    except (ValueError, RecursionError):
        if not _WORD.fullmatch(value):
            raise SpecError([f"--set {typed}: {value or 'nothing'} is not a TOML value"]) from None
        parsed = {"value": value}
    return Override(tuple(key.split(".")), parsed["value"], typed)


def apply_override(data: Mapping[str, Any], override: Override) -> dict[str, Any]:
    """A copy of `data` with the setting in place; tables on the way are made.

    Raises:
        SpecError: something on the way is there and is not a table.
    """
    changed = dict(data)
    table = changed
    *way, last = map(str, override.path)
    for depth, key in enumerate(way, start=1):
        inner = table.get(key, {})
        if not isinstance(inner, dict):
            raise SpecError([f"--set {override.typed}: {'.'.join(way[:depth])} is not a table"])
        table[key] = dict(inner)
        table = table[key]
    table[last] = override.value
    return changed
