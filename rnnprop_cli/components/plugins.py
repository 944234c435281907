"""Code from outside: a class in a file beside the spec, in an installed package, or behind an entry point.

A setting `source = "my_net.py:TwoLayer"` becomes a `Code` when the spec is read: the text of the file with its hash, or
the package with its version. So a spec is whole by itself. Its cells are identified by what the code *is*, a resumed
training runs what it was begun with, and a worker process needs no file. Nothing is imported before something of it is
built, and then only where `--allow-code` (or RNNPROP_ALLOW_CODE=1) says so; `torch.optim` needs no leave.
"""

from __future__ import annotations

import hashlib
import linecache
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    PlainSerializer,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    WithJsonSchema,
    model_serializer,
)

from rnnprop_cli.errors import CodeError, UsageError
from rnnprop_cli.fields import Spec
from rnnprop_cli.files.reading import read_regular

VARIABLE: Final = "RNNPROP_ALLOW_CODE"
MAX_BYTES: Final = 1_000_000  # of a file of code
TRUSTED: Final = ("torch.optim",)  # modules that need no leave
FOLDER: Final = "folder"  # key of the validation context: where relative files lie
IDENTITY: Final = {"identity": True}  # context of a dump that says what code is, not what is in it

_WRITTEN: Final = re.compile(r"(?P<place>[^:]+):(?P<name>[A-Za-z_][\w.]*)")
_allowed = False


def allow_code(allowed: bool = True) -> None:
    """Whether this process may import code that a spec names."""
    global _allowed
    _allowed = allowed


@contextmanager
def code_allowed(allowed: bool) -> Iterator[None]:
    """Within, code may be imported if it might be before, or if `allowed`."""
    before = _allowed
    allow_code(before or allowed)
    try:
        yield
    finally:
        allow_code(before)


class Code(Spec):
    """A class or function that is not ours."""

    source: str  # as the user wrote it, but for folders: "my_net.py:TwoLayer", "package.module:name"
    sha256: str = ""  # of a file
    text: str = ""  # of a file
    package: str = ""  # an installed one with its version, e.g. "torch 2.13.0"

    @property
    def place(self) -> str:
        """The file, or the module."""
        return self.source.rpartition(":")[0]

    @property
    def name(self) -> str:
        """Of the class or function."""
        return self.source.rpartition(":")[2]

    @model_serializer(mode="wrap")
    def _told(self, whole: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        plain: dict[str, Any] = whole(self)
        if info.context and info.context.get("identity"):
            plain.pop("text", None)
        return {key: value for key, value in plain.items() if value}

    def load(self) -> Any:
        """The class or function itself; imports its module once in a process.

        Raises:
            UsageError: code is not allowed, or the installed package is another version than the one that was named.
            CodeError: importing it fails, or it is not there.
        """
        trusted = not self.text and self.place in TRUSTED
        if not trusted and not _allowed:
            raise UsageError(
                f"{self.source} is code, which runs with your rights. Read it, then add --allow-code "
                f"(in Python allow_code=True), or set {VARIABLE}=1."
            )
        if self.text and hashlib.sha256(self.text.encode()).hexdigest() != self.sha256:
            raise UsageError(
                f"{self.source}: the code was changed after it was recorded: it is not what its SHA-256 says "
                f"({self.sha256[:12] or 'it has none'})."
            )
        with told(self):
            module = _from_text(self) if self.text else self._installed()
            found: Any = module
            for part in self.name.split("."):
                found = getattr(found, part)
        return found

    def _installed(self) -> ModuleType:
        here = package_of(self.place)
        if here != self.package:
            raise UsageError(
                f"{self.source}: was recorded with {self.package or 'a package that has no version'}, here is "
                f"{here or 'none'}. Install that version, or start anew."
            )
        return import_module(self.place)


@contextmanager
def told(code: Code) -> Iterator[None]:
    """What goes wrong inside is told with the user's own file and line.

    Raises:
        CodeError: something went wrong.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # whatever foreign code may raise
        raise CodeError(f"{code.source}: {_where(error, code)}{type(error).__name__}: {error}") from error
    except SystemExit as error:
        raise CodeError(f"{code.source}: it ended the program (SystemExit: {error})") from error


def _where(error: BaseException, code: Code) -> str:
    """The last line of the user's file that the error went through."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"line {error.lineno}: "
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == code.place]
    return f"line {frames[-1].lineno}, in {frames[-1].name}: " if frames else ""


def _from_text(code: Code) -> ModuleType:
    """The module of a file, under one name in every process."""
    name = f"rnnprop_outside_{code.sha256[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = code.place
    linecache.cache[code.place] = (len(code.text), None, code.text.splitlines(keepends=True), code.place)
    sys.modules[name] = module
    try:
        exec(compile(code.text, code.place, "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def package_of(module: str) -> str:
    """The installed package that a module belongs to, with its version; empty where there is none. Imports nothing."""
    top = module.partition(".")[0]
    names = (top,) if top == "torch" else _distributions().get(top, ())
    try:
        return ", ".join(f"{name} {version(name)}" for name in names)
    except PackageNotFoundError:
        return ""


@cache
def _distributions() -> dict[str, tuple[str, ...]]:
    return {top: tuple(sorted(set(names))) for top, names in packages_distributions().items()}


def _read(value: Any, info: ValidationInfo) -> Any:
    """From what stands in a spec to code: text of a file that is read now, or an installed package."""
    if not isinstance(value, str):
        return value  # as it was recorded
    match = _WRITTEN.fullmatch(value)
    if match is None:
        raise ValueError(f"must be FILE.py:NAME or package.module:NAME, not '{value[:80]}'")
    place = match["place"]
    if not place.endswith(".py"):
        if not all(part.isidentifier() for part in place.split(".")):
            raise ValueError(
                f"must name a file that ends in .py, or a module, before the colon, not '{place[:80]}'"
            )
        package = package_of(place)
        if not package:
            raise ValueError(f"no installed package has the module '{place}': install it, or name a file.py")
        return {"source": value, "package": package}
    folder = (info.context or {}).get(FOLDER)
    path = Path(place).expanduser() if folder is None else Path(folder) / Path(place).expanduser()
    try:
        content = read_regular(path, MAX_BYTES)
        text = content.decode("utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    if not text.strip():
        raise ValueError(f"{path} is empty")
    source = f"{path.name}:{match['name']}"
    return {"source": source, "sha256": hashlib.sha256(content).hexdigest(), "text": text}


# A setting that names code.
CodeSource = Annotated[
    Code, BeforeValidator(_read), WithJsonSchema({"type": "string", "pattern": r"^[^:]+:[A-Za-z_][\w.]*$"})
]


def _pairs(value: Any) -> Any:
    """A table as sorted pairs, which can be hashed."""
    if not isinstance(value, dict):
        return value
    for name in value:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"'{name}' cannot be the name of an argument")
    return tuple(sorted((name, _hashable(each, name)) for name, each in value.items()))


def _hashable(value: Any, name: str) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_hashable(each, name) for each in value)
    if isinstance(value, str | int | float | bool):
        return value
    raise ValueError(f"'{name}' must be a text, a number, true, false or a list of these")


# Keyword arguments for code, as sorted pairs; a table in a spec.
Settings = Annotated[
    tuple[tuple[str, Any], ...],
    BeforeValidator(_pairs),
    PlainSerializer(dict),
    WithJsonSchema({"type": "object"}),
]


def shown(settings: tuple[tuple[str, Any], ...]) -> str:
    """Settings in a label: ` width=32`."""
    return "".join(
        f" {name}={value:g}" if isinstance(value, float) else f" {name}={value}" for name, value in settings
    )


def entry_point(group: str, name: str) -> str | None:
    """What an installed package offers under a name, as a source; nothing is imported.

    Args:
        group: optimizees, optimizers, architectures or datasets.
        name: what specs call it.
    """
    found = [each for each in entry_points(group=f"rnnprop.{group}") if each.name == name]
    return found[0].value if found else None


def entry_point_names(group: str) -> list[str]:
    """All names that installed packages offer."""
    return sorted({each.name for each in entry_points(group=f"rnnprop.{group}")})
