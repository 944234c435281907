"""Dataset files on disk: which there are, where they are looked for, and whether their bytes are the right ones.

Layout of a data folder: `mnist/*-ubyte[.gz]` and `cifar10/*.bin[.gz]`. Hashes are always of the *decompressed* bytes,
because the same data circulates compressed in different ways. A `SHA256SUMS` beside the files, which `rnnprop data
fetch` leaves there, is obeyed too. No function here opens a socket.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import platformdirs

from rnnprop_cli.errors import DataError
from rnnprop_cli.files.reading import open_regular, read_regular
from rnnprop_cli.files.variables import path_variable

VARIABLE: Final = "RNNPROP_DATA_DIR"
SUMS: Final = "SHA256SUMS"
_MAX_SUMS_BYTES: Final = 100_000
MAX_FILE_BYTES: Final = 1 << 30  # after decompression; the largest real one has 47 MB


@dataclass(frozen=True)
class Mirrors:
    """Every file by itself, compressed with gzip, under one of these addresses."""

    urls: tuple[str, ...]


@dataclass(frozen=True)
class Archive:
    """All files in one archive, under one of these addresses."""

    urls: tuple[str, ...]
    name: str
    sha256: str
    folder: str  # where the files lie in it


@dataclass(frozen=True)
class Files:
    """The files of a dataset, by the names that they have when they are decompressed."""

    dataset: str
    mirrors: Mirrors | Archive
    needed: tuple[str, ...] = ()  # all of them
    any_of: tuple[str, ...] = ()  # at least one of them, if there are any
    others: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)  # what a file must be, where that is known

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.needed + self.any_of + self.others

    def suffice(self, files: Container[str]) -> bool:
        """Whether these files are enough to work with."""
        some = any(file in files for file in self.any_of) if self.any_of else True
        return some and all(file in files for file in self.needed)


@dataclass(frozen=True)
class Found:
    """A dataset that is there; whether it is whole and right shows when it is read."""

    name: str
    folder: Path
    paths: Mapping[str, Path]  # by the name of the decompressed file


def search_folders(data_dir: Path | None) -> list[Path]:
    """Where datasets are looked for, in this order: `data_dir` (else RNNPROP_DATA_DIR), then the user's cache."""
    asked = data_dir or path_variable(VARIABLE)
    cache = platformdirs.user_cache_path("rnnprop") / "data"
    return [cache] if asked is None else [asked, cache]


def find(files: Files, data_dir: Path | None) -> Found | None:
    """The first folder that holds the dataset's files; reads none of them."""
    for folder in search_folders(data_dir):
        paths = {file: _path(folder / files.dataset, file) for file in files.names}
        present = {file: path for file, path in paths.items() if path is not None}
        if files.suffice(present):
            return Found(files.dataset, folder / files.dataset, present)
    return None


def require(files: Files, data_dir: Path | None) -> Found:
    """As `find`. Raises DataError with what is missing, where it was looked for and what to do."""
    found = find(files, data_dir)
    if found is not None:
        return found
    name = files.dataset
    lines = [f"dataset {name} is not here"]
    for folder in search_folders(data_dir):
        missing = [file for file in files.names if _path(folder / name, file) is None]
        lines.append(f"  looked in {folder / name}: there is no {', no '.join(missing)} (plain or .gz)")
    lines.append(f"fetch it with: rnnprop data fetch {name}")
    lines.append(f"or name the folder that has {name}/ in it: --data-dir DIR or {VARIABLE}")
    raise DataError("\n".join(lines))


def read(path: Path) -> bytes:
    """The file's bytes, decompressed if it ends in .gz. Raises DataError if it cannot be read."""
    try:
        with open_regular(path, MAX_FILE_BYTES) as file:
            plain = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            content = plain.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(f"{path} cannot be read: {reason}") from None
    if len(content) > MAX_FILE_BYTES:
        raise DataError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes")
    return content


def read_checked(found: Found, known: Mapping[str, str]) -> tuple[dict[str, bytes], str]:
    """All bytes of a dataset, and the hash that identifies it.

    Args:
        found: which files.
        known: SHA-256 by file name; a file that is in neither this nor SHA256SUMS is taken as it is.

    Returns:
        The decompressed bytes by file name, and the SHA-256 over the lines `sha256  file` of all files.

    Raises:
        DataError: a file cannot be read or has another hash. Nothing is changed.
    """
    expected = {**read_sums(found.folder), **known}
    contents = {file: read(path) for file, path in found.paths.items()}
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    for file, digest in digests.items():
        if digest != expected.get(file, digest):
            raise DataError(
                f"{found.paths[file]} is damaged or another file: SHA-256 of its decompressed bytes is\n"
                f"  {digest}, expected\n  {expected[file]}\n"
                f"move it away, then: rnnprop data fetch {found.name}"
            )
    return contents, hashlib.sha256(sums(digests).encode()).hexdigest()


def sums(digests: Mapping[str, str]) -> str:
    """The text of a SHA256SUMS file, sorted by name."""
    return "".join(f"{digest}  {file}\n" for file, digest in sorted(digests.items()))


def read_sums(folder: Path) -> dict[str, str]:
    """SHA-256 by file name from the folder's SHA256SUMS; empty where there is none."""
    try:
        lines = read_regular(folder / SUMS, _MAX_SUMS_BYTES).decode("ascii").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(f"{folder / SUMS} cannot be read: {reason}") from None
    return {parts[1]: parts[0] for line in lines if len(parts := line.split()) == 2}


def _path(folder: Path, file: str) -> Path | None:
    return next((path for path in (folder / file, folder / f"{file}.gz") if os.path.isfile(path)), None)  # noqa: PTH113
