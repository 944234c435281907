"""CIFAR-10, the binary version; whatever batches are there, a subset of a batch too."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts, Source, bytes_of, check_labels
from rnnprop_cli.data.files import Archive, Files, read_checked, require
from rnnprop_cli.errors import DataError
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

SHAPE: Final = (3, 32, 32)
RECORD: Final = 1 + 3 * 32 * 32  # one label byte, then the pixels, channel-first
IMAGES: Final = 60_000
TRAIN: Final = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST: Final = "test_batch.bin"

FILES: Final = Files(
    "cifar10",
    any_of=TRAIN,
    others=(TEST,),
    mirrors=Archive(
        ("https://www.cs.toronto.edu/~kriz/",),
        "cifar-10-binary.tar.gz",
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        folder="cifar-10-batches-bin",
    ),
)


@dataclass(frozen=True)
class Cifar10(Source):
    """Batches of records."""

    name = "cifar10"
    files: Files = FILES

    def facts(self) -> DatasetFacts:
        """See `Source`."""
        return DatasetFacts(SHAPE, classes=10, train=50_000, test=10_000, whole=False)

    def load(self, data_dir: Path | None) -> Dataset:
        """See `Source`."""
        found = require(self.files, data_dir)
        contents, sha256 = read_checked(found, {})
        parts = {file: _batch(content, found.paths[file]) for file, content in contents.items()}
        train = [parts[file] for file in TRAIN if file in parts]
        test = parts.get(TEST)
        n_found = sum(len(labels) for _, labels in parts.values())
        whole = "" if n_found == IMAGES else f"{n_found:,} of {IMAGES:,} CIFAR-10 images"
        return Dataset(
            self.name,
            torch.cat([images for images, _ in train]),
            torch.cat([labels for _, labels in train]),
            None if test is None else test[0],
            None if test is None else test[1],
            scale=1 / 255,
            shift=-0.5,
            classes=10,
            sha256=sha256,
            note=whole and whole + ("" if test is not None else ", no test split"),
        )


SOURCE = Cifar10()


def _batch(content: bytes, path: Path) -> "tuple[Tensor, Tensor]":
    if not content or len(content) % RECORD:
        raise DataError(f"{path} has {len(content):,} bytes, which is no multiple of {RECORD:,}")
    records = bytes_of(content).reshape(-1, RECORD)
    labels = records[:, 0].long()
    check_labels(labels, 10, path)
    return records[:, 1:].reshape(-1, *SHAPE), labels
