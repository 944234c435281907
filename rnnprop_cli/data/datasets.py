"""Image datasets as uint8 tensors.

Shape legend: N images, C channels, H height, W width.

- `digits`: the 1,797 8x8 digits that scikit-learn bundles (values 0 … 16). Every fifth image (index 4, 9, 14, …) is the
  test split: 1,438 train, 359 test.
- `mnist`: as in the paper, the training split is the last 55,000 of the 60,000; the test split is t10k.
- `cifar10`: the binary version; whatever batches are there, a subset of a batch too.
"""

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from rnnprop_cli.data.files import (
    CIFAR10_TEST,
    CIFAR10_TRAIN,
    MNIST_SHA256,
    Found,
    check_name,
    read_checked,
    require,
    sums,
)
from rnnprop_cli.errors import DataError

MNIST_VALIDATION: Final = 5_000  # the first images of the training file, which the paper leaves out
CIFAR10_SHAPE: Final = (3, 32, 32)
CIFAR10_RECORD: Final = 1 + 3 * 32 * 32  # one label byte, then the pixels, channel-first
CIFAR10_IMAGES: Final = 60_000
TEST_EVERY: Final = 5  # digits
IDX_IMAGES, IDX_LABELS = 2051, 2049  # magic numbers of unsigned bytes in 3 and 1 dimensions


@dataclass(frozen=True)
class Dataset:
    """Labelled images; a pixel x stands for x * scale + shift."""

    name: str
    train_images: Tensor  # uint8 [N, C, H, W]
    train_labels: Tensor  # int64 [N]
    test_images: Tensor | None  # uint8 [N_test, C, H, W]
    test_labels: Tensor | None  # int64 [N_test]
    scale: float
    shift: float = 0.0
    classes: int = 10
    sha256: str = ""  # over the lines `sha256  file` of its decompressed files
    note: str = ""  # what a reader of a result must know, e.g. that it is a subset


def load_dataset(
    name: str, data_dir: Path | None = None, mnist_sha256: Mapping[str, str] = MNIST_SHA256
) -> Dataset:
    """Read a dataset from disk; never from the network.

    Args:
        name: one of `files.DATASETS`.
        data_dir: searched before the cache; None takes RNNPROP_DATA_DIR.
        mnist_sha256: what the decompressed MNIST files must be.

    Raises:
        UsageError: there is no such dataset.
        DataError: it is not here, or its bytes are wrong.
    """
    check_name(name)
    if name == "digits":
        return _digits()
    found = require(name, data_dir)
    return _mnist(found, mnist_sha256) if name == "mnist" else _cifar10(found)


def check_unchanged(dataset: Dataset | None, sha256: str | None) -> None:
    """Raises DataError for another dataset than the one that a run was begun with, as its results would be recorded."""
    if dataset is not None and sha256 not in (None, dataset.sha256):
        raise DataError(
            f"the files of {dataset.name} were exchanged while this was running (their hash was {sha256}, is "
            f"{dataset.sha256}). What is recorded was made with the former: put them back and do the same again."
        )


def _digits() -> Dataset:
    import numpy as np
    from sklearn.datasets import load_digits

    bundled = load_digits()
    pixels, targets = bundled.images.astype(np.uint8), bundled.target.astype(np.uint8)
    digests = {
        "images": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "labels": hashlib.sha256(targets.tobytes()).hexdigest(),
    }
    images = torch.from_numpy(pixels).unsqueeze(1)
    labels = torch.from_numpy(targets).long()
    is_test = torch.arange(len(labels)) % TEST_EVERY == TEST_EVERY - 1
    return Dataset(
        "digits",
        images[~is_test],
        labels[~is_test],
        images[is_test],
        labels[is_test],
        scale=1 / 16,
        sha256=hashlib.sha256(sums(digests).encode()).hexdigest(),
        note=f"{len(labels):,} 8x8 digits bundled with scikit-learn",
    )


def _mnist(found: Found, known: Mapping[str, str]) -> Dataset:
    contents, sha256 = read_checked(found, known)
    splits = []
    for part in ("train", "t10k"):
        images_file, labels_file = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        images = _idx(contents[images_file], IDX_IMAGES, found.files[images_file]).unsqueeze(1)
        labels = _idx(contents[labels_file], IDX_LABELS, found.files[labels_file]).long()
        if len(images) != len(labels):
            raise DataError(f"{found.folder}: {len(images):,} {part} images but {len(labels):,} labels")
        _check_labels(labels, found.files[labels_file])
        splits.append((images, labels))
    (train_images, train_labels), (test_images, test_labels) = splits
    if len(train_labels) <= MNIST_VALIDATION:
        raise DataError(f"{found.folder}: only {len(train_labels):,} training images")
    return Dataset(
        "mnist",
        train_images[MNIST_VALIDATION:],
        train_labels[MNIST_VALIDATION:],
        test_images,
        test_labels,
        scale=1 / 255,
        sha256=sha256,
        note=f"the last {len(train_labels) - MNIST_VALIDATION:,} of {len(train_labels):,} training images",
    )


def _idx(content: bytes, magic: int, path: Path) -> Tensor:
    """An idx file of unsigned bytes: magic number, one size for each dimension (big-endian), then the values."""
    n_dimensions = magic & 0xFF
    start = 4 * (1 + n_dimensions)
    if len(content) < start or struct.unpack_from(">I", content)[0] != magic:
        raise DataError(f"{path} is not an idx file of {n_dimensions} dimensions")
    sizes = struct.unpack_from(f">{n_dimensions}I", content, 4)
    expected = start + math.prod(sizes)
    if len(content) != expected:
        raise DataError(f"{path} has {len(content):,} bytes, its header says {expected:,}")
    return _bytes(content)[start:].reshape(sizes)


def _cifar10(found: Found) -> Dataset:
    contents, sha256 = read_checked(found, {})
    parts = {file: _cifar10_batch(content, found.files[file]) for file, content in contents.items()}
    train = [parts[file] for file in CIFAR10_TRAIN if file in parts]
    test = parts.get(CIFAR10_TEST)
    n_found = sum(len(labels) for _, labels in parts.values())
    whole = "" if n_found == CIFAR10_IMAGES else f"{n_found:,} of {CIFAR10_IMAGES:,} CIFAR-10 images"
    return Dataset(
        "cifar10",
        torch.cat([images for images, _ in train]),
        torch.cat([labels for _, labels in train]),
        None if test is None else test[0],
        None if test is None else test[1],
        scale=1 / 255,
        shift=-0.5,
        sha256=sha256,
        note=whole and whole + ("" if test is not None else ", no test split"),
    )


def _cifar10_batch(content: bytes, path: Path) -> tuple[Tensor, Tensor]:
    if not content or len(content) % CIFAR10_RECORD:
        raise DataError(f"{path} has {len(content):,} bytes, which is no multiple of {CIFAR10_RECORD:,}")
    records = _bytes(content).reshape(-1, CIFAR10_RECORD)
    labels = records[:, 0].long()
    _check_labels(labels, path)
    return records[:, 1:].reshape(-1, *CIFAR10_SHAPE), labels


def _check_labels(labels: Tensor, path: Path) -> None:
    if len(labels) and int(labels.max()) > 9:
        raise DataError(f"{path} holds label {int(labels.max())}: labels are 0 to 9")


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(
        bytearray(content), dtype=torch.uint8
    )  # a copy: torch wants to own what it may write
