"""Plain values as TOML, for specs that a program makes: so they are checked, told and recorded as a file is."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rnnprop_cli.errors import SpecError

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(spec: Mapping[str, Any]) -> str:
    """A line for each setting; tables inside it are written inline. None is a setting that is not there.

    Raises:
        SpecError: a value is none that TOML has.

    >>> print(to_toml({"name": "x", "horizon": [100], "optimizers": [{"kind": "adam", "lr": 1e-3}]}))
    name = "x"
    horizon = [100]
    optimizers = [{ kind = "adam", lr = 0.001 }]
    """
    return "\n".join(
        f"{_key(name)} = {_value(value, name)}" for name, value in spec.items() if value is not None
    )


def _key(name: object) -> str:
    return str(name) if _BARE.fullmatch(str(name)) else _text(str(name))


def _value(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        inside = [
            f"{_key(name)} = {_value(each, f'{where}.{name}')}"
            for name, each in value.items()
            if each is not None
        ]
        return f"{{ {', '.join(inside)} }}"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return f"[{', '.join(_value(each, f'{where}[{number}]') for number, each in enumerate(value))}]"
    raise SpecError([f"{where}: a {type(value).__name__} is nothing that a spec can hold"])


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
