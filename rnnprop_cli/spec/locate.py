"""Where in a TOML text a setting stands. No validator tells; a small scanner over the text does.

The text must already have been accepted by `tomllib`, so the scanner checks nothing.
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Path = tuple[str | int, ...]  # ("optimizees", 0, "depth", 2) is the third value of depth in the first table

_BLANK: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}\n#]+")
_STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'", re.DOTALL
)
_EXCERPT_COLUMNS: Final = 100


@dataclass(frozen=True)
class Place:
    """Offsets of a key (or of a table's header) and of its value in the text."""

    key: int
    value: int


def locate(text: str) -> dict[Path, Place]:
    """Every key, table and list element of a valid TOML text with its place."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.places


def find(places: Mapping[Path, Place], path: Path) -> Place:
    """Place of `path`, or of the innermost table around it that is written in the text."""
    while path and path not in places:
        path = path[:-1]
    return places.get(path, Place(0, 0))


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Both counted from 1, the column in characters."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def excerpt(text: str, line: int, column: int) -> str:
    """The source line with a caret under the column; a long line is cut around it."""
    source = text.split("\n")[line - 1].replace("\t", " ")
    start = max(0, column - 1 - _EXCERPT_COLUMNS // 2) if len(source) > _EXCERPT_COLUMNS else 0
    shown = source[start : start + _EXCERPT_COLUMNS]
    before = shown[: column - 1 - start]
    padding = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in before)
    margin = " " * len(str(line))
    return f"  {line} | {shown}\n  {margin} | {' ' * padding}^"


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: dict[Path, Place] = {}
        self.last_index: dict[Path, int] = {}  # of every array of tables, as far as it has been read

    def document(self) -> None:
        table: Path = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_BLANK)

    def header(self) -> Path:
        start = self.at
        brackets = 2 if self.text.startswith("[[", start) else 1
        self.at += brackets
        path: Path = ()
        keys = self.key()
        for depth, (name, _) in enumerate(keys, start=1):
            path = (*path, name)
            self.places.setdefault(path, Place(start, start))
            if brackets == 2 and depth == len(keys):
                self.last_index[path] = self.last_index.get(path, -1) + 1
            if path in self.last_index:
                path = (*path, self.last_index[path])
        self.places[path] = Place(start, start)
        self.at = self.text.index("]", self.at) + brackets
        return path

    def pair(self, table: Path) -> None:
        path = table
        for name, offset in self.key():
            path = (*path, name)
            self.places.setdefault(path, Place(offset, offset))
        self.at = self.text.index("=", self.at) + 1
        self.skip(_BLANK)
        self.places[path] = Place(self.places[path].key, self.at)
        self.value(path)

    def key(self) -> list[tuple[str, int]]:
        """A dotted key: its parts and where each begins."""
        parts: list[tuple[str, int]] = []
        while True:
            self.skip(_BLANK)
            start = self.at
            if self.text[start] in "\"'":
                self.skip(_STRING)
                parts.append((tomllib.loads(f"key = {self.text[start : self.at]}")["key"], start))
            else:
                self.skip(_BARE_KEY)
                parts.append((self.text[start : self.at], start))
            self.skip(_BLANK)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening in "[{":
            self.at += 1
            self.skip(_BLANK)
            index = 0
            while self.text[self.at] not in "]}":
                if opening == "{":
                    self.pair(path)
                else:
                    self.places[(*path, index)] = Place(self.at, self.at)
                    self.value((*path, index))
                index += 1
                self.skip(_BLANK)
                if self.text[self.at] == ",":
                    self.at += 1
                    self.skip(_BLANK)
            self.at += 1
        else:
            self.skip(_STRING if opening in "\"'" else _SCALAR)

    def skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self.text, self.at):
            self.at = match.end()
