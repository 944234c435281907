"""The user's own text: a file.txt in UTF-8, whose characters are the classes.

The first nine tenths are to train on, the rest is held out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self

from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts, OwnSource
from rnnprop_cli.errors import DataError
from rnnprop_cli.files.reading import check_regular, read_regular
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    import numpy as np

ENDING: Final = ".txt"
MAX_BYTES: Final = 1 << 28
MAX_CLASSES: Final = 256  # different characters: they are kept as bytes
TEST_SHARE: Final = 10  # one in so many characters


class Characters(NamedTuple):
    """A text as numbers of its characters, which are numbered in the order of their code points."""

    alphabet: str
    codes_N: np.ndarray[Any, np.dtype[np.uint8]]

    @property
    def n_train(self) -> int:
        """Characters to train on."""
        return len(self.codes_N) - len(self.codes_N) // TEST_SHARE

    def facts(self) -> DatasetFacts:
        """See `Source`."""
        n_test = len(self.codes_N) - self.n_train
        return DatasetFacts((), len(self.alphabet), self.n_train, n_test, text=True)

    def dataset(self, name: str, note: str) -> Dataset:
        """See `Source`: every character is an input and a target."""
        codes_N = torch.from_numpy(self.codes_N)
        train, test = codes_N[: self.n_train], codes_N[self.n_train :]
        content = self.alphabet.encode() + b"\0" + self.codes_N.tobytes()
        return Dataset(
            name,
            train,
            train,
            test,
            test,
            scale=1.0,
            classes=len(self.alphabet),
            sha256=hashlib.sha256(content).hexdigest(),
            text=True,
            note=note,
        )


def characters_of(text: str) -> Characters:
    """A text as numbers. Raises ValueError, to stand after the name of a file, where that makes no sense."""
    import numpy as np

    points_N = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    alphabet_V, codes_N = np.unique(points_N, return_inverse=True)
    if len(alphabet_V) < 2:
        raise ValueError("holds no two different characters: there is nothing to tell apart")
    if len(alphabet_V) > MAX_CLASSES:
        raise ValueError(
            f"holds {len(alphabet_V)} different characters; at most {MAX_CLASSES} are read: replace the rare ones"
        )
    return Characters("".join(map(chr, alphabet_V.tolist())), codes_N.astype(np.uint8))


@dataclass(frozen=True)
class Text(OwnSource):
    """A file.txt."""

    written: ClassVar[str] = "a file.txt of your own"

    @classmethod
    def takes(cls, name: str) -> bool:
        """See `OwnSource`."""
        return name.endswith(ENDING)

    @classmethod
    def located(cls, path: Path) -> Self:
        """See `OwnSource`."""
        try:
            check_regular(path.stat(), path)
        except OSError as error:
            raise ValueError(f"{path}: {(error.strerror or str(error)).lower()}") from None
        return cls(path)

    def facts(self) -> DatasetFacts:
        """See `Source`; read once for every version of the file."""
        return self._characters().facts()

    def load(self, data_dir: Path | None) -> Dataset:
        """See `Source`."""
        found = self._characters()
        return found.dataset(self.name, f"{len(found.codes_N):,} characters of {self.path.name}")

    def _characters(self) -> Characters:
        try:
            status = self.path.stat()
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from None
        return _read(self.path, status.st_mtime_ns, status.st_size)


FORMAT = Text


@lru_cache(maxsize=4)
def _read(path: Path, mtime_ns: int, size: int) -> Characters:
    try:
        return characters_of(read_regular(path, MAX_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text: save it as such") from None
    except ValueError as error:
        raise DataError(f"{path} {error}") from None
