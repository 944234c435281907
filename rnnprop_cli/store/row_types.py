"""Whether a row holds what its columns are for. SQLite itself lets any column hold anything."""

import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from rnnprop_cli.files.reading import parse_json
from rnnprop_cli.records import CellResult, ExperimentFacts, RunFacts

Allowed = tuple[type, ...]
_NONE: Final = type(None)
_WORDS: Final[Mapping[type, str]] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bytes: "bytes",
    _NONE: "nothing",
}


@cache
def columns_of(record: type) -> Mapping[str, Allowed]:
    """The types that SQLite may give for each field of a record."""
    return {name: _allowed(hint) for name, hint in typing.get_type_hints(record).items()}


def _allowed(hint: Any) -> Allowed:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return tuple(kind for part in typing.get_args(hint) for kind in _allowed(part))
    if origin is typing.Literal:
        return (str,)
    if hint is float:
        return (float, int)
    return (int,) if hint is bool else (hint,)


def misfit(values: Iterable[tuple[str, Any]], columns: Mapping[str, Allowed]) -> str | None:
    """What is wrong with the first value that does not fit its column; None if all do."""
    for name, value in values:
        allowed = columns.get(name)
        if allowed is not None and type(value) not in allowed:
            return f"'{name}' holds {_WORDS.get(type(value), 'something')}, not {_WORDS[allowed[0]]}"
    return None


ID: Final[Allowed] = (int,)
TEXT: Final[Allowed] = (str,)
_MAY_BE_ABSENT: Final[Allowed] = (str, type(None))
RUN = {
    **columns_of(RunFacts),
    **columns_of(CellResult),
    "id": ID,
    "experiment_id": ID,
    "started_utc": _MAY_BE_ABSENT,
}
EXPERIMENT = {**columns_of(ExperimentFacts), "id": ID, "created_utc": TEXT, "folder": _MAY_BE_ABSENT}
CHUNK: dict[str, Allowed] = {
    **dict.fromkeys(("run_id", "step0", "stride", "n"), ID),
    "dtype": TEXT,
    "data": (bytes,),
}
JSON_COLUMNS: Final[Mapping[str, type]] = {
    "spec_json": dict,
    "config_json": dict,
    "versions": dict,
    "argv": list,
}


def parsed(column: str) -> str:
    """Under which key `read_json` leaves what a column of JSON holds."""
    return f"{column} parsed"


def read_json(row: dict[str, Any]) -> str | None:
    """Parse every column that holds JSON, once for all its readers.

    Returns:
        What is wrong with the first column that should hold JSON and does not; None if all do.
    """
    for name, kind in JSON_COLUMNS.items():
        text = row.get(name)
        if text is None:
            continue
        try:
            value = parse_json(text)
            if isinstance(value, kind):
                row[parsed(name)] = value
                continue
        except ValueError:
            pass
        return f"'{name}' holds no JSON {'object' if kind is dict else 'list'}"
    return None
