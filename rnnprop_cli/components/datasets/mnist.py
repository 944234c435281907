"""MNIST; as in the paper, the training split is the last 55,000 of the 60,000, the test split is t10k."""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts, Source, bytes_of, check_labels
from rnnprop_cli.data.files import Files, Mirrors, read_checked, require
from rnnprop_cli.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

VALIDATION: Final = 5_000  # the first images of the training file, which the paper leaves out
IDX_IMAGES, IDX_LABELS = 2051, 2049  # magic numbers of unsigned bytes in 3 and 1 dimensions

FILES: Final = Files(
    "mnist",
    needed=(
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ),
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    mirrors=Mirrors(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        )
    ),
)


@dataclass(frozen=True)
class Mnist(Source):
    """Four idx files."""

    name = "mnist"
    files: Files = FILES

    def facts(self) -> DatasetFacts:
        """See `Source`."""
        return DatasetFacts((1, 28, 28), classes=10, train=55_000, test=10_000)

    def load(self, data_dir: Path | None) -> Dataset:
        """See `Source`."""
        found = require(self.files, data_dir)
        contents, sha256 = read_checked(found, self.files.sha256)
        splits = []
        for part in ("train", "t10k"):
            images_file, labels_file = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
            images = _idx(contents[images_file], IDX_IMAGES, found.paths[images_file]).unsqueeze(1)
            labels = _idx(contents[labels_file], IDX_LABELS, found.paths[labels_file]).long()
            if len(images) != len(labels):
                raise DataError(f"{found.folder}: {len(images):,} {part} images but {len(labels):,} labels")
            check_labels(labels, 10, found.paths[labels_file])
            splits.append((images, labels))
        (train_images, train_labels), (test_images, test_labels) = splits
        if len(train_labels) <= VALIDATION:
            raise DataError(f"{found.folder}: only {len(train_labels):,} training images")
        return Dataset(
            self.name,
            train_images[VALIDATION:],
            train_labels[VALIDATION:],
            test_images,
            test_labels,
            scale=1 / 255,
            classes=10,
            sha256=sha256,
            note=f"the last {len(train_labels) - VALIDATION:,} of {len(train_labels):,} training images",
        )


SOURCE = Mnist()


def _idx(content: bytes, magic: int, path: Path) -> "Tensor":
    """An idx file of unsigned bytes: magic number, one size for each dimension (big-endian), then the values."""
    n_dimensions = magic & 0xFF
    start = 4 * (1 + n_dimensions)
    if len(content) < start or struct.unpack_from(">I", content)[0] != magic:
        raise DataError(f"{path} is not an idx file of {n_dimensions} dimensions")
    sizes = struct.unpack_from(f">{n_dimensions}I", content, 4)
    expected = start + math.prod(sizes)
    if len(content) != expected:
        raise DataError(f"{path} has {len(content):,} bytes, its header says {expected:,}")
    return bytes_of(content)[start:].reshape(sizes)
