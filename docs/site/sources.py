"""What the source of a component says about itself: docstrings, and the comments beside its fields."""

import inspect
import re
import sys
from collections.abc import Iterator
from html import escape
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel

FIELD: Final = re.compile(r"^    (?P<name>[a-z]\w*): [^#]*(?:#\s*(?P<comment>.*))?$")
SECTION: Final = re.compile(r"^(Args|Returns|Raises|Attributes):$", re.MULTILINE)
SIGNS: Final = (("<-", "←"), ("theta", "θ"), ("beta1", "β1"), ("beta2", "β2"), ("alpha", "α"), ("sqrt", "√"))
Rows = Iterator[tuple[str, ...]]


def told(thing: Any, *, formulas: bool = True) -> str:
    """Docstring without its sections (Args and so on) and legends, as Markdown.

    Args:
        thing: that has it.
        formulas: whether to set formulas as such, a line each.
    """
    text = SECTION.split(inspect.getdoc(thing) or "")[0].strip()
    parts = [part for part in re.split(r"\n\s*\n", text) if not part.startswith("Shape legend")]
    return "\n\n".join(_paragraph(part, formulas) for part in parts)


def first_line(thing: Any) -> str:
    """The first line of a docstring, as Markdown."""
    return plain((inspect.getdoc(thing) or "").split("\n", 1)[0])


def plain(text: str) -> str:
    """Text in which no sign means anything to Markdown, but for code."""
    parts = re.split(r"(`[^`]+`)", text.replace("<-", "←"))
    return "".join(
        part if part.startswith("`") else re.sub(r"([*_|\[\]])", r"\\\1", escape(part, quote=False))
        for part in parts
    )


def comments(cls: type[Any]) -> dict[str, str]:
    """What stands beside or above the fields of a class and of those that it derives from."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("rnnprop_cli"):
            found.update(_own_comments(base))
    return found


def named_result(cls: type[Any], method: str) -> Any:
    """The class that a method says it returns."""
    name = getattr(cls, method).__annotations__["return"]
    return getattr(sys.modules[getattr(cls, method).__module__], name, None)


def settings(spec: type[Any]) -> Rows:
    """(name, default, range, meaning) of every setting of a model but its kind."""
    meaning = comments(spec)
    for name, field in spec.model_fields.items():
        if name != "kind":
            default = (
                "required"
                if field.is_required()
                else f"`{_toml(field.get_default(call_default_factory=True))}`"
            )
            yield f"`{name}`", default, _range(field), plain(meaning.get(name, ""))


def table(header: tuple[str, ...], rows: Rows | list[tuple[str, ...]]) -> str:
    """A table of Markdown; nothing where it has no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *lines, ""]) if lines else ""


def _paragraph(text: str, formulas: bool) -> str:
    joined = re.sub(r"\s*\n\s*", " ", text.strip())
    if not formulas or ("<-" not in joined and not re.match(r"\S+ = ", joined)):
        return plain(joined)
    for sign, shown in SIGNS:
        joined = re.sub(rf"(?<![a-zA-Z]){re.escape(sign)}(?![a-z])", shown, joined)
    return "```text\n" + re.sub(r";\s+", "\n", joined) + "\n```"


def _own_comments(cls: type[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    above: list[str] = []
    fresh = True  # whether a comment that follows begins anew
    for line in inspect.getsource(cls).splitlines():
        if line.startswith("    # "):
            above = [line.strip(" #")] if fresh else [*above, line.strip(" #")]
            fresh = False
            continue
        field = FIELD.match(line)
        if field is None:
            above = []
        else:
            found[field["name"]] = field["comment"] or " ".join(above)
        fresh = True
    return {name: text for name, text in found.items() if text}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        inner = ((name, each) for name, each in value.model_dump().items() if each is not None)
        return f"{{ {', '.join(f'{name} = {_toml(each)}' for name, each in inner)} }}"
    if isinstance(value, tuple) and value:
        return f"[{', '.join(map(_toml, value))}]"
    return "{}" if value in ((), {}) else f"{value:g}"


def _range(field: Any) -> str:
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if getattr(limit, name, None) is not None
    ]
    if limits:
        return plain(", ".join(limits))
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    return ""
