"""The user's own pictures: a folder with a folder for each class, PNG or JPEG, all of one size.

my_images/cat/1.png, my_images/dog/1.png                 all to train on, nothing held out
my_images/train/cat/1.png, my_images/test/cat/1.png      with a test split

Classes are numbered in the order of their names. Pictures are grey or in colours, all alike; transparency is dropped.
Pillow reads them (the extra `images`).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self

from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts, OwnSource
from rnnprop_cli.data.files import sums
from rnnprop_cli.errors import DataError
from rnnprop_cli.files.reading import open_regular
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

ENDINGS: Final = (".png", ".jpg", ".jpeg")
TRAIN: Final = "train"
TEST: Final = "test"
MAX_FILE_BYTES: Final = 1 << 28
MAX_BYTES: Final = 1 << 33  # of all pictures together
BYTE_SCALE: Final = 1 / 255

# Pillow's modes, and what they are read as. Others have more than 8 bits, which reading them so would lose.
_GREY: Final = ("1", "L", "LA")
_COLOURS: Final = ("RGB", "RGBA", "P", "CMYK", "YCbCr")


class _Listing(NamedTuple):
    """Which files there are, by the order of their names."""

    classes: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]  # file, and the number of its class
    test: tuple[tuple[Path, int], ...]


class _Pictures(NamedTuple):
    """A split, read."""

    pictures_NCHW: np.ndarray[Any, np.dtype[np.uint8]]
    labels_N: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Images(OwnSource):
    """A folder/ of folders of pictures."""

    written: ClassVar[str] = "a folder/ of your own pictures"

    @classmethod
    def takes(cls, name: str) -> bool:
        """See `OwnSource`."""
        return name.endswith("/")

    @classmethod
    def located(cls, path: Path) -> Self:
        """See `OwnSource`."""
        if not path.is_dir():
            raise ValueError(f"{path}: {'is no folder' if path.exists() else 'no such folder'}")
        return cls(path)

    @property
    def name(self) -> str:  # type: ignore[override]
        """See `OwnSource`."""
        return f"{self.path}/"

    def facts(self) -> DatasetFacts:
        """See `Source`: from the names of the files and the first picture, anew when a folder has changed."""
        listing = self._listing()
        shape = _shape(*_version(listing.train[0][0]))
        return DatasetFacts(shape, len(listing.classes), len(listing.train), len(listing.test))

    def load(self, data_dir: Path | None) -> Dataset:
        """See `Source`."""
        facts, listing = self.facts(), self._listing()
        train = _read(listing.train, facts.shape, listing.train[0][0])
        test = _read(listing.test, facts.shape, listing.train[0][0]) if listing.test else None
        digests = {"classes": _sha256("\n".join(listing.classes).encode())}
        for split, part in ((TRAIN, train), (TEST, test)):
            if part is not None:
                digests |= {
                    f"{split} pictures": _sha256(part.pictures_NCHW.tobytes()),
                    f"{split} labels": _sha256(part.labels_N.tobytes()),
                }
        return Dataset(
            self.name,
            torch.from_numpy(train.pictures_NCHW),
            torch.from_numpy(train.labels_N),
            None if test is None else torch.from_numpy(test.pictures_NCHW),
            None if test is None else torch.from_numpy(test.labels_N),
            scale=BYTE_SCALE,
            classes=facts.classes,
            sha256=_sha256(sums(digests).encode()),
            note=f"{facts.train:,} pictures of {self.path.name}/{'' if listing.test else ', no test split'}",
        )

    def _listing(self) -> _Listing:
        try:
            return _list(self.path, tuple(_version(folder) for folder in self._folders()))
        except OSError as error:
            raise DataError(
                f"{error.filename or self.path} cannot be read: {error.strerror or error}"
            ) from None

    def _folders(self) -> Iterator[Path]:
        """Those whose times of change tell whether pictures came or went."""
        yield self.path
        for split in _folders_in(self.path):
            yield split
            if split.name in (TRAIN, TEST):
                yield from _folders_in(split)


FORMAT = Images


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _version(path: Path) -> tuple[Path, int, int]:
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


@lru_cache(maxsize=16)
def _list(root: Path, versions: tuple[tuple[Path, int, int], ...]) -> _Listing:
    split = any(path.name == TRAIN and _folders_in(path) for path in _folders_in(root))
    train_root = root / TRAIN if split else root
    classes = tuple(path.name for path in _folders_in(train_root))
    if len(classes) < 2:
        raise DataError(
            f"{train_root} holds {len(classes)} folders: it needs a folder of pictures for each class, two at least"
        )
    train = _files(train_root, classes)
    test: tuple[tuple[Path, int], ...] = ()
    if split and (root / TEST).is_dir():
        unknown = [path.name for path in _folders_in(root / TEST) if path.name not in classes]
        if unknown:
            raise DataError(
                f"{root / TEST / unknown[0]} is a class that {train_root} has not: rename it, or add it there"
            )
        test = _files(root / TEST, classes, all_needed=False)
    return _Listing(classes, train, test)


def _files(root: Path, classes: tuple[str, ...], *, all_needed: bool = True) -> tuple[tuple[Path, int], ...]:
    found: list[tuple[Path, int]] = []
    for number, name in enumerate(classes):
        folder = root / name
        files = sorted(path for path in folder.iterdir() if _is_picture(path)) if folder.is_dir() else []
        if all_needed and not files:
            raise DataError(f"{folder} holds no picture: put files {', '.join(ENDINGS)} there, or remove it")
        found += [(path, number) for path in files]
    return tuple(found)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


@lru_cache(maxsize=64)
def _shape(path: Path, mtime_ns: int, size: int) -> tuple[int, int, int]:
    with _opened(path) as picture:
        return (1 if picture.mode in _GREY else 3, picture.height, picture.width)


def _read(files: tuple[tuple[Path, int], ...], shape: tuple[int, ...], first: Path) -> _Pictures:
    """Files as pictures of the shape that the first one has."""
    import numpy as np

    channels, height, width = shape
    total = len(files) * channels * height * width
    if total > MAX_BYTES:
        raise DataError(
            f"{first.parent.parent} holds {total:,} bytes of pictures; at most {MAX_BYTES:,} are read"
        )
    pictures = np.empty((len(files), height, width, channels), dtype=np.uint8)
    for number, (path, _) in enumerate(files):
        with _opened(path) as picture:
            if (picture.height, picture.width) != (height, width):
                raise DataError(
                    f"{path} is {picture.width} x {picture.height}, {first} is {width} x {height}: pictures must be of "
                    "one size, so scale or crop it"
                )
            if (picture.mode in _GREY) != (channels == 1):
                here, there = ("grey", "in colours") if channels == 3 else ("in colours", "grey")
                raise DataError(f"{path} is {here}, {first} is {there}: convert one of them")
            plain = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
        pictures[number] = plain.reshape(height, width, channels)
    labels = np.array([label for _, label in files], dtype=np.int64)
    return _Pictures(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)), labels)


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """A picture of 8 bits, of which the header alone has been read; what is wrong with it is told as a DataError."""
    try:
        import PIL.Image
    except ImportError:
        raise DataError(
            "pictures are read by Pillow, which is not here: pip install 'rnnprop[images]'"
        ) from None
    try:
        with warnings.catch_warnings(), open_regular(path, MAX_FILE_BYTES) as file:
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(file, formats=("PNG", "JPEG")) as picture:
                if picture.mode not in (*_GREY, *_COLOURS):
                    raise DataError(f"{path} is of mode {picture.mode}: save it with 8 bits a channel")
                yield picture
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError, Warning) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(f"{path} cannot be read as a picture: {reason}") from None
