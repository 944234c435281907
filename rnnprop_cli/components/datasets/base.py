"""What every dataset offers: its facts to those who plan, its examples to those who compute.

Shape legend: N examples, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, Self

from rnnprop_cli.errors import DataError
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.data.files import Files

# What is wrong with a text where examples are needed, to stand after the name of the setting.
IS_TEXT: Final = 'is a text, whose characters only kind = "transformer" learns'


class DatasetFacts(NamedTuple):
    """What can be known of a dataset without reading it."""

    shape: tuple[int, ...]  # of one input; (channels, height, width) of images
    classes: int | None  # None: the targets are numbers
    train: int  # examples to train on
    test: int  # examples to test on; 0: none
    whole: bool = True  # False: what is here may be a part of it
    text: bool = False  # whether its examples are the characters of one text, each known by those before it

    @property
    def outputs(self) -> int:
        """Numbers that a network says of one input."""
        return 1 if self.classes is None else self.classes

    @property
    def chance_loss(self) -> float | None:
        """Cross-entropy of guessing among all classes alike; None where the targets are numbers."""
        return None if self.classes is None else log(self.classes)


@dataclass(frozen=True)
class Dataset:
    """Labelled examples; a number x of an input stands for x * scale + shift."""

    name: str
    train_images: Tensor  # uint8, float32 or float64 [N, ...], of a picture [N, C, H, W]
    train_labels: Tensor  # int64 [N], or floating [N] where there are no classes
    test_images: Tensor | None  # likewise [N_test, ...]
    test_labels: Tensor | None  # [N_test]
    scale: float
    shift: float = 0.0
    classes: int | None = field(kw_only=True)  # None: the targets are numbers
    sha256: str = ""  # over the lines `sha256  file` of its decompressed files
    text: bool = False  # see `DatasetFacts`
    note: str = ""  # what a reader of a result must know, e.g. that it is a subset


class Source(ABC):
    """Where a dataset comes from. A module of this package offers one as `SOURCE`.

    Attributes:
        name: what specs call it.
        files: on disk; None where nothing has to be fetched.
        origin: where it comes from, if nothing has to be fetched.
    """

    name: str
    files: Files | None = None
    origin: str = ""

    @abstractmethod
    def facts(self) -> DatasetFacts:
        """Without reading it."""

    @abstractmethod
    def load(self, data_dir: Path | None) -> Dataset:
        """Reads it from disk; never from the network.

        Raises:
            DataError: it is not here, or its bytes are wrong.
        """


@dataclass(frozen=True)
class OwnSource(Source):
    """A dataset of the user's own. A module of this package offers a way to read one as `FORMAT`.

    Attributes:
        path: of the file or folder.
        written: what specs write for one, for messages.
    """

    path: Path
    written: ClassVar[str]

    @classmethod
    @abstractmethod
    def takes(cls, name: str) -> bool:
        """Whether a name of a dataset is a path to what this reads, by its looks alone."""

    @classmethod
    @abstractmethod
    def located(cls, path: Path) -> Self:
        """The dataset at a path.

        Raises:
            ValueError: there is nothing, or it is no file or folder as this reads them; to stand after `dataset: `.
        """

    @property
    def name(self) -> str:  # type: ignore[override]
        """See `Source`: the path, from which alone `takes` knows what it is."""
        return str(self.path)


def check_labels(labels_N: Tensor, classes: int, where: object) -> None:
    """Raises DataError for a label that is no class."""
    if len(labels_N) and int(labels_N.max()) >= classes:
        raise DataError(f"{where} holds label {int(labels_N.max())}: labels are 0 to {classes - 1}")


def bytes_of(content: bytes) -> Tensor:
    """[n] uint8: a copy, for torch wants to own what it may write."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def check_unchanged(datasets: Iterable[Dataset], sha256: str | None) -> None:
    """Raises DataError for other datasets than those that a run was begun with, as its results would be recorded."""
    found = {dataset.name: dataset.sha256 for dataset in datasets}
    now = recorded_sha256(found)
    if sha256 is not None and now is not None and sha256 != now:
        raise DataError(
            f"the files of {' and '.join(sorted(found))} were exchanged while this was running (their hash was "
            f"{sha256}, is {now}). What is recorded was made with the former: put them back and do the same again."
        )


def recorded_sha256(hashes: Mapping[str, str]) -> str | None:
    """One text for the hashes of all datasets of a run, by name; None where it has none."""
    if len(hashes) < 2:
        return next(iter(hashes.values()), None)
    return ", ".join(f"{name} {hashes[name]}" for name in sorted(hashes))


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
