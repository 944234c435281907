"""Specs as the store has them. Settings that did not exist when one was stored get the value that it silently had."""

from collections.abc import Mapping
from typing import Any, Final

_BEFORE: Final = {"sampling": "replacement"}
_SEARCH_BEFORE: Final = {"confirm_seeds": None}


def upgraded(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A stored bench or train spec, of whatever version, with today's settings."""
    found = _BEFORE | dict(spec)
    if isinstance(found.get("tuning"), dict):
        found["tuning"] = _SEARCH_BEFORE | found["tuning"]
    return found
