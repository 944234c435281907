"""What every dataset offers: its facts to those who plan, its examples to those who compute.

Shape legend: N examples, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rnnprop_cli.errors import DataError
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.data.files import Files


class DatasetFacts(NamedTuple):
    """What can be known of a dataset without reading it."""

    shape: tuple[int, ...]  # of one input; (channels, height, width) of images
    classes: int | None  # None: the targets are numbers
    train: int  # examples to train on
    test: int  # examples to test on; 0: none
    whole: bool = True  # False: what is here may be a part of it

    @property
    def outputs(self) -> int:
        """Numbers that a network says of one input."""
        return 1 if self.classes is None else self.classes


@dataclass(frozen=True)
class Dataset:
    """Labelled examples; a number x of an input stands for x * scale + shift."""

    name: str
    train_images: Tensor  # uint8 or float32 [N, C, H, W], or [N, D]
    train_labels: Tensor  # int64 [N], or float32 [N] where there are no classes
    test_images: Tensor | None  # likewise [N_test, ...]
    test_labels: Tensor | None  # [N_test]
    scale: float
    shift: float = 0.0
    classes: int | None = 10  # None: the targets are numbers
    sha256: str = ""  # over the lines `sha256  file` of its decompressed files
    note: str = ""  # what a reader of a result must know, e.g. that it is a subset


class Source(ABC):
    """Where a dataset comes from. A module of this package offers one as `SOURCE`.

    Attributes:
        name: what specs call it.
        files: on disk; None where nothing has to be fetched.
    """

    name: str
    files: Files | None = None

    @abstractmethod
    def facts(self) -> DatasetFacts:
        """Without reading it."""

    @abstractmethod
    def load(self, data_dir: Path | None) -> Dataset:
        """Reads it from disk; never from the network.

        Raises:
            DataError: it is not here, or its bytes are wrong.
        """


def check_labels(labels_N: Tensor, classes: int, where: object) -> None:
    """Raises DataError for a label that is no class."""
    if len(labels_N) and int(labels_N.max()) >= classes:
        raise DataError(f"{where} holds label {int(labels_N.max())}: labels are 0 to {classes - 1}")


def bytes_of(content: bytes) -> Tensor:
    """[n] uint8: a copy, for torch wants to own what it may write."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def stand_in(name: str, facts: DatasetFacts, examples: int) -> Dataset:
    """Noise of the shape of a dataset, for those who only want to know what it costs."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (examples, *facts.shape), generator=generator, dtype=torch.uint8)
    if facts.classes is None:
        labels = torch.randn(examples, generator=generator)
    else:
        labels = torch.randint(0, facts.classes, (examples,), generator=generator)
    return Dataset(name, images, labels, None, None, scale=1 / 255, classes=facts.classes)


def too_small(dataset: str, examples: int) -> str:
    """What is wrong with a minibatch, to stand after the name of the setting."""
    return (
        f"is more than the {examples:,} training examples of {dataset}, so that an epoch holds no minibatch: make it "
        'smaller, or set sampling = "replacement"'
    )
