"""Specs as the store has them. Settings that did not exist when one was stored get the value that it silently had."""

from collections.abc import Mapping
from typing import Any, Final

_BEFORE: Final = {"sampling": "replacement"}


def upgraded(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A stored bench or train spec, of whatever version, with today's settings."""
    return _BEFORE | dict(spec)
