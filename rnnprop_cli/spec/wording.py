"""What is wrong with a setting, in words: pydantic's errors, told for the person who wrote the file."""

import difflib
import re
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from rnnprop_cli.components.optimizees.conv import LAYOUT_PATTERN
from rnnprop_cli.components.optimizers.learned import LAW, LAWS
from rnnprop_cli.fields import NAME_PATTERN
from rnnprop_cli.spec.engine import ADDRESS_PATTERN, OPTION_PATTERN
from rnnprop_cli.spec.horizons import FORMS
from rnnprop_cli.spec.locate import Path

# Tables that are chosen by `kind`: the element of pydantic's location that is the kind and not a key.
_KIND_AT: Final = {"optimizees": 2, "optimizers": 2, "optimizer": 1, "optimizee": 1, "engine": 1}

_PATTERNS: Final = {
    NAME_PATTERN: "must be letters, digits, '.', '_' or '-', at most 100, and begin with a letter or a digit",
    OPTION_PATTERN: "must be a value for sbatch: letters, digits and _.:,/@[]&|*()=-, at most 200",
    ADDRESS_PATTERN: "must be auto, HOST:PORT or ray://HOST:PORT",
    LAYOUT_PATTERN: "must be layers joined by '-', such as 'c-c-p-f': c (convolution) first, "
    "then c or p (pooling), then f (fully connected)",
}
_EXPECTED: Final = {
    "list_type": "a list",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS: Final = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_SHOWN_CHARACTERS: Final = 40

IS_MISSING: Final = "is missing"


def path_of(error: ErrorDetails) -> Path:
    """Keys and indexes down to the setting, without pydantic's own additions."""
    location = error["loc"]
    if location and (kind_at := _KIND_AT.get(str(location[0]))):
        location = location[:kind_at] + location[kind_at + 1 :]
    if error["type"] == "union_tag_invalid":
        return (*location, "kind")
    inside = getattr(error.get("ctx", {}).get("error"), "path", ())  # see `MisplacedError`
    return (*(part for part in location if part not in FORMS), *inside)


def dotted(path: Path) -> str:
    """`optimizees[0].depth`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def did_you_mean(wrong: object, choices: Sequence[str]) -> str:
    """A suggestion to append, empty where nothing is near."""
    near = difflib.get_close_matches(str(wrong)[:100].lower(), choices, n=1)
    return f" - did you mean '{near[0]}'?" if near else ""


def points_at_key(error: ErrorDetails) -> bool:
    """Whether the caret belongs under the key; otherwise under the value."""
    return error["type"] in {"extra_forbidden", "missing"}


def follows_from_others(error: ErrorDetails) -> bool:
    """Whether an error only says that a list lacks its faulty members, which have errors of their own."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def describe(error: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong and what is allowed, to stand after `path.to.key: `."""
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        tables = _tables(model, error["loc"][:-1])
        settings = list(dict.fromkeys(name for table in tables for name in table.model_fields))
        of_kind = f" of kind '{_kind(tables[0])}'" if len(tables) == 1 and _kind(tables[0]) else ""
        suggestion = did_you_mean(error["loc"][-1], settings)
        return f"is not a setting{of_kind}" + (suggestion or f"; settings here: {', '.join(settings)}")
    if kind == "missing":
        return IS_MISSING
    if kind == "union_tag_not_found":
        choices = _kinds(model, error["loc"])
        return f"kind is missing: give one of {', '.join(choices)}"
    if kind == "union_tag_invalid":
        choices = _kinds(model, error["loc"])
        wrong = str(context.get("tag"))
        return f"must be one of {', '.join(choices)}, not {_shown(wrong)}{did_you_mean(wrong, choices)}"
    if kind == "literal_error":
        allowed = context["expected"]
        if (
            error["loc"][-1] == "schedule" and error["loc"][-2:][0] in LAWS
        ):  # which become other rows, see `spec.bench`
            allowed = f"{allowed} or '{LAW}'"
        choices = re.findall(r"'([^']*)'", allowed)
        return f"must be {allowed}, not {_shown(given)}{did_you_mean(given, choices)}"
    if kind == "too_short" and context["min_length"] == 1:
        return "must not be empty"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}, not {_shown(given)}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        limit = context[bound]
        number = f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
        return f"must be {words} {number}, not {_shown(given)}"
    if kind == "string_pattern_mismatch":
        return f"{_PATTERNS.get(context['pattern'], error['msg'])}, not {_shown(given)}"
    if kind == "value_error":
        return str(context["error"])
    message = error["msg"]
    return f"{message[:1].lower()}{message[1:]}, not {_shown(given)}"


def either(texts: Sequence[str]) -> str:
    """One text for the members of a union: `must be A, not x` and `must be B, not x` → `must be A or B, not x`."""
    texts = list(dict.fromkeys(texts))
    if len(texts) == 1 or not all(text.startswith("must be ") and ", not " in text for text in texts):
        return "; ".join(texts)
    parts = [text.removeprefix("must be ").rpartition(", not ") for text in texts]
    rest = max((rest for _, _, rest in parts), key=len)  # the one with a suggestion
    return f"must be {' or '.join(allowed for allowed, _, _ in parts)}, not {rest}"


def _shown(value: object) -> str:
    """A value as TOML writes it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 200:
        return "so large a number"  # Python refuses to print the longest ones
    text = repr(value) if isinstance(value, str | int | float) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _kind(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return None if field is None else str(field.default)


def _tables(model: type[BaseModel], location: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that the table at pydantic's `location` may have."""
    models = [model]
    for part in location:
        if isinstance(part, int) or part in FORMS:
            continue
        chosen = [candidate for candidate in models if _kind(candidate) == part]
        if chosen:
            models = chosen
        else:
            fields = [m.model_fields[part] for m in models if part in m.model_fields]
            models = [found for field in fields for found in _models(field.annotation)]
    return models


def _kinds(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    return [kind for table in _tables(model, location) if (kind := _kind(table))]
