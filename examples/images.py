"""Images for the examples: MNIST where it is found, else the 8x8 digits that scikit-learn carries."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from compare import Minibatch
from torch import Tensor

from rnnprop_cli.components.datasets import load_dataset
from rnnprop_cli.components.datasets.mnist import FILES
from rnnprop_cli.data.files import find

HELDOUT_SIZE = 1000  # images at a time


class Images(NamedTuple):
    """A dataset of small grey images, pixels from 0 to 1."""

    name: str
    train_images: Tensor  # [N, 1, side, side]
    train_labels: Tensor  # [N]
    heldout: list[Minibatch]
    side: int

    def minibatches(self, seed: int, steps: int, size: int = 128) -> Iterator[Minibatch]:
        """`steps` minibatches, drawn with replacement: a pure function of the seed."""
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            index = torch.randint(len(self.train_labels), (size,), generator=generator)
            yield self.train_images[index], self.train_labels[index]


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Where MNIST may be."""
    parser.add_argument("--data-dir", type=Path, help="folder with mnist/ in it (default: RNNPROP_DATA_DIR)")


def load_images(data_dir: Path | None) -> Images:
    """MNIST from `data_dir`, RNNPROP_DATA_DIR or the cache of `rnnprop data fetch`; else digits, if no folder is named.

    Raises:
        DataError: a folder is named, and MNIST is not in it.
    """
    mnist = data_dir is not None or find(FILES, None) is not None
    dataset = load_dataset("mnist" if mnist else "digits", data_dir)
    assert dataset.test_images is not None
    assert dataset.test_labels is not None
    heldout = zip(
        torch.split(dataset.test_images * dataset.scale, HELDOUT_SIZE),
        torch.split(dataset.test_labels, HELDOUT_SIZE),
        strict=True,
    )
    train_images = dataset.train_images * dataset.scale
    return Images(dataset.name, train_images, dataset.train_labels, list(heldout), train_images.shape[-1])
