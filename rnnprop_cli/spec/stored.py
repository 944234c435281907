"""Specs as the store has them. Settings that did not exist when one was stored get the value that it silently had."""

from collections.abc import Mapping
from typing import Any, Final

_BOTH: Final[dict[str, Any]] = {"sampling": "replacement"}
_BENCH: Final[dict[str, Any]] = {"calibrated": False}
_SEARCH: Final[dict[str, Any]] = {"confirm_seeds": None}


def upgraded_train(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A stored train spec, of whatever version, with today's settings."""
    return _BOTH | dict(spec)


def upgraded_bench(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A stored bench spec, of whatever version, with today's settings."""
    found = _BOTH | _BENCH | dict(spec)
    if isinstance(found.get("tuning"), dict):
        found["tuning"] = _SEARCH | found["tuning"]
    return found
