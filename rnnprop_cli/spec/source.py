"""The text of a spec file, what TOML makes of it, and where in it everything stands."""

import errno
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Final

from rnnprop_cli.errors import SpecError
from rnnprop_cli.files.reading import read_regular
from rnnprop_cli.spec.bounds import excess
from rnnprop_cli.spec.locate import Path, Place, excerpt, find, line_and_column, locate

MAX_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class Source:
    """A spec file as the user wrote it."""

    name: str  # as it was named, for messages
    text: str
    data: dict[str, Any]
    places: dict[Path, Place]

    @property
    def folder(self) -> FilePath:
        """Where the files lie that it names."""
        return FilePath(self.name).parent

    def offset(self, path: Path, *, at_key: bool = False) -> int:
        """Where the setting at `path` is written: its value, or its key."""
        place = find(self.places, path)
        return place.key if at_key else place.value

    def told(self, offset: int, message: str) -> str:
        """The problem with its position before it and its source line below it."""
        line, column = line_and_column(self.text, offset)
        return f"{self.name}:{line}:{column}: {message}\n{excerpt(self.text, line, column)}"


def read(path: FilePath) -> Source:
    """Read and parse a TOML file of at most `MAX_BYTES`.

    Raises:
        SpecError: absent, not a regular file, too large, not UTF-8, or not TOML.
    """
    name = str(path)
    try:
        content = read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        raise SpecError([f"{name}: no such file"]) from None
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.EINVAL, errno.EFBIG):
            raise SpecError([f"{name}: {error.strerror}"]) from None
        raise SpecError([f"{name}: cannot be read: {error.strerror or error}"]) from None
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line, column = (
            content.count(b"\n", 0, error.start) + 1,
            error.start - content.rfind(b"\n", 0, error.start),
        )
        raise SpecError([f"{name}:{line}:{column}: is not UTF-8 text"]) from None
    return parse(text, name)


def parse(text: str, name: str) -> Source:
    """Parse TOML text. Raises SpecError with the place of the first syntax error."""
    if (too_much := excess(text)) is not None:
        offset, what = too_much
        line, column = line_and_column(text, offset)
        at = excerpt(text, line, column)
        raise SpecError([f"{name}:{line}:{column}: is {what}, which no spec is\n{at}"])
    try:
        data = tomllib.loads(text)
        return Source(name, text, data, locate(text))
    except RecursionError:
        raise SpecError([f"{name}: is nested too deeply"]) from None
    except ValueError as error:  # TOMLDecodeError, or a number that Python refuses to read
        message = str(error)
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
        if match := re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message):
            message = message[: match.start()]
            if match[1]:
                line, column = int(match[1]), int(match[2])
        else:
            line, column = 1, 1
        at = excerpt(text, line, column)
        raise SpecError([f"{name}:{line}:{column}: is not TOML: {message}\n{at}"]) from None
