"""The user's own examples in a NumPy file, as `numpy.savez("my_data.npz", x=x, y=y)` writes it.

x [N, ...] inputs: uint8 (stands for x / 255) or floating; of pictures [N, C, H, W]
y [N] targets: whole numbers from 0 are classes, floating ones are numbers to predict
x_test, y_test: likewise, where there is a test split; without them nothing is held out

Shapes, counts and classes are known from the headers and y alone. Pickled objects are never read.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self

from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts, OwnSource
from rnnprop_cli.data.files import sums
from rnnprop_cli.errors import DataError
from rnnprop_cli.files.reading import check_regular, open_regular
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    import numpy as np

ENDING: Final = ".npz"
NAMES: Final = ("x", "y", "x_test", "y_test")
MAX_BYTES: Final = 1 << 33  # of the file, and of its arrays together
MAX_HEADER: Final = 10_000  # characters
BYTE_SCALE: Final = 1 / 255  # of uint8 inputs

_MEMBERS: Final = {f"{name}.npy": name for name in NAMES}


@dataclass(frozen=True)
class Arrays(OwnSource):
    """A file.npz."""

    written: ClassVar[str] = "a file.npz of your own"

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
        try:
            status = self.path.stat()
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from None
        return _facts(self.path, status.st_mtime_ns, status.st_size)

    def load(self, data_dir: Path | None) -> Dataset:
        """See `Source`."""
        with _opened(self.path) as file:
            return file.dataset(self.name, self.path.name)


FORMAT = Arrays


class _Header(NamedTuple):
    """What is known of an array without reading it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class ArrayFile:
    """An open file.npz whose headers have been read and fit together.

    Args:
        path: what messages call it.
        archive: the file.
    """

    def __init__(self, path: Path | str, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive
        self.digests: dict[str, str] = {}  # SHA-256 of every array that was read, by name
        inside = archive.namelist()
        strange = [name for name in inside if name not in _MEMBERS]
        if strange:
            raise self._wrong(
                strange[0].removesuffix(".npy"),
                f"is none of the arrays that are read, which are {', '.join(NAMES)}: rename it, or leave it out",
            )
        for name in ("x", "y"):
            if f"{name}.npy" not in inside:
                raise self._wrong(name, "is missing: save inputs as x and targets as y")
        for one, other in (("x_test", "y_test"), ("y_test", "x_test")):
            if f"{one}.npy" in inside and f"{other}.npy" not in inside:
                raise self._wrong(other, f"is missing, and {one} is there: save both, or neither")
        if len(set(inside)) < len(inside):
            raise DataError(f"{path} holds an array twice: save it anew")
        total = sum(info.file_size for info in archive.infolist())
        if total > MAX_BYTES:
            raise DataError(f"{path} holds {total:,} bytes of arrays; at most {MAX_BYTES:,} are read")
        self.headers = {name: self._header(name) for name in NAMES if f"{name}.npy" in inside}
        self._check_headers()

    def read(self, name: str) -> np.ndarray[Any, Any]:
        """An array, in the machine's byte order and C order."""
        import numpy as np

        with self.archive.open(f"{name}.npy") as member:
            content = member.read()
        self.digests[name] = hashlib.sha256(content).hexdigest()
        array = np.load(io.BytesIO(content), allow_pickle=False)
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))

    def dataset(self, name: str, origin: str) -> Dataset:
        """All of it.

        Args:
            name: of the dataset.
            origin: where it is from, for the note.
        """
        facts = self.facts()
        x, y, *test = [self.read(each) for each in self.headers]
        _check_finite(self.path, "x", x)
        for values in test[:1]:
            _check_finite(self.path, "x_test", values)
        held_out = "" if test else ", no test split"
        return Dataset(
            name,
            torch.from_numpy(x),
            _targets(y),
            torch.from_numpy(test[0]) if test else None,
            _targets(test[1]) if test else None,
            scale=BYTE_SCALE if x.dtype == "uint8" else 1.0,
            classes=facts.classes,
            sha256=hashlib.sha256(sums(self.digests).encode()).hexdigest(),
            note=f"{facts.train:,} examples of {origin}{held_out}",
        )

    def facts(self) -> DatasetFacts:
        """What the headers and the targets tell."""
        targets = {name: self.read(name) for name in self.headers if name.startswith("y")}
        x, n_train = self.headers["x"], self.headers["y"].shape[0]
        n_test = self.headers["y_test"].shape[0] if "y_test" in self.headers else 0
        if self.headers["y"].dtype.kind == "f":
            for name, values in targets.items():
                _check_finite(self.path, name, values)
            return DatasetFacts(x.shape[1:], None, n_train, n_test)
        for name, values in targets.items():
            if values.min() < 0:
                raise self._wrong(name, f"holds the label {values.min()}: number the classes from 0")
        classes = max(int(values.max()) for values in targets.values()) + 1
        if classes > n_train + n_test:
            raise self._wrong(
                "y",
                f"holds the label {classes - 1:,} among {n_train + n_test:,} examples: number the classes 0, 1, 2, ... "
                "(or save floating numbers, if these are numbers to predict)",
            )
        if classes < 2:
            raise self._wrong("y", "holds one class: there is nothing to tell apart")
        return DatasetFacts(x.shape[1:], classes, n_train, n_test)

    def _header(self, name: str) -> _Header:
        import numpy as np

        info = self.archive.getinfo(f"{name}.npy")
        with self.archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            if version not in ((1, 0), (2, 0)):
                raise self._wrong(name, f"is of version {version} of the format: save it anew")
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(member, max_header_size=MAX_HEADER)
            start = member.tell()
        if dtype.hasobject:
            raise self._wrong(name, "holds pickled objects, which are never read: save an array of numbers")
        if info.file_size != start + prod(shape) * dtype.itemsize:
            raise self._wrong(name, f"is damaged: its header says shape {shape} of {dtype}, which it is not")
        return _Header(shape, dtype)

    def _check_headers(self) -> None:
        for name, header in self.headers.items():
            (self._check_inputs if name.startswith("x") else self._check_targets)(name, header)
        for x, y in (("x", "y"), ("x_test", "y_test")):
            if x not in self.headers:
                continue
            n_inputs, n_targets = self.headers[x].shape[0], self.headers[y].shape[0]
            if n_inputs != n_targets:
                raise self._wrong(
                    x, f"has {n_inputs:,} examples, {y} has {n_targets:,}: they must be as many"
                )
        if "x_test" in self.headers:
            for name in ("x", "y"):
                train, test = self.headers[name], self.headers[f"{name}_test"]
                alike = train.dtype == test.dtype or (
                    name == "y" and train.dtype.kind in "iub" and test.dtype.kind in "iub"
                )
                if train.shape[1:] != test.shape[1:] or not alike:
                    raise self._wrong(
                        f"{name}_test",
                        f"has examples of shape {test.shape[1:]} and {test.dtype}, {name} of {train.shape[1:]} and "
                        f"{train.dtype}: they must be alike",
                    )

    def _check_inputs(self, name: str, header: _Header) -> None:
        if len(header.shape) < 2:
            raise self._wrong(
                name, f"has shape {header.shape}: an example is a row, so make it {name}.reshape(-1, 1)"
            )
        if 0 in header.shape:
            raise self._wrong(name, f"has shape {header.shape}, which holds nothing")
        if header.dtype.name not in ("uint8", "float32", "float64"):
            raise self._wrong(
                name,
                f"is {header.dtype.name}: save uint8 (stands for x / 255), float32 or float64, such as "
                f"{name}.astype('float32')",
            )

    def _check_targets(self, name: str, header: _Header) -> None:
        if len(header.shape) != 1:
            remedy = (
                f"{name}.argmax(1) if these are classes, one-hot"
                if len(header.shape) == 2 and header.shape[1] > 1
                else f"{name}.ravel()"
            )
            raise self._wrong(name, f"has shape {header.shape}, not one target an example: make it {remedy}")
        if header.shape[0] == 0:
            raise self._wrong(name, "is empty")
        if header.dtype.kind not in "iub" and header.dtype.name not in ("float32", "float64"):
            raise self._wrong(
                name,
                f"is {header.dtype.name}: save whole numbers for classes, float32 or float64 for numbers",
            )

    def _wrong(self, name: str, what: str) -> DataError:
        return DataError(f"{self.path}: array {name[:40]} {what}")


@contextmanager
def _opened(path: Path) -> Iterator[ArrayFile]:
    """The file, with everything that can be wrong in it told as a DataError."""
    try:
        with open_regular(path, MAX_BYTES) as file, zipfile.ZipFile(file) as archive:
            yield ArrayFile(path, archive)
    except (
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(
            f"{path} cannot be read: {reason}. Save it anew with numpy.savez(file, x=x, y=y)"
        ) from None


@contextmanager
def given_arrays(called: str, given: Mapping[str, Any]) -> Iterator[ArrayFile]:
    """Arrays in memory as a file, which is held to the same.

    Args:
        called: where they are from, for messages.
        given: by name.

    Raises:
        DataError: they do not fit together.
    """
    import numpy as np

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, values in given.items():
            array = np.asarray(values)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if array.dtype.hasobject:
                    raise DataError(f"{called}: array {name} holds objects: give an array of numbers")
                np.lib.format.write_array(member, array, allow_pickle=False)
    with zipfile.ZipFile(content) as archive:
        yield ArrayFile(called, archive)


@lru_cache(maxsize=64)
def _facts(path: Path, mtime_ns: int, size: int) -> DatasetFacts:
    with _opened(path) as file:
        return file.facts()


def _check_finite(path: Path | str, name: str, values: np.ndarray[Any, Any]) -> None:
    import numpy as np

    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    wrong = np.argwhere(~np.isfinite(values))
    where = ", ".join(map(str, wrong[0].tolist()))
    raise DataError(
        f"{path}: array {name} holds {values[tuple(wrong[0])]} at [{where}], and {len(wrong):,} such numbers in all: "
        "leave these examples out, or fill them in"
    )


def _targets(y: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(y if y.dtype.kind == "f" else y.astype("int64"))
