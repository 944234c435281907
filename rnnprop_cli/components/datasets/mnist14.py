"""MNIST at half the width and height: every pixel the mean of four. Small enough to meta-train on."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts
from rnnprop_cli.components.datasets.mnist import Mnist
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

FORM: Final = "means of 2 x 2 pixels, rounded down"


class Mnist14(Mnist):
    """The files of MNIST."""

    name = "mnist14"

    def facts(self) -> DatasetFacts:
        """See `Source`."""
        return super().facts()._replace(shape=(1, 14, 14))

    def load(self, data_dir: Path | None) -> Dataset:
        """See `Source`."""
        whole = super().load(data_dir)
        return replace(
            whole,
            train_images=_halved(whole.train_images),
            test_images=None if whole.test_images is None else _halved(whole.test_images),
            sha256=hashlib.sha256(f"{whole.sha256} {FORM}".encode()).hexdigest(),
            note=f"{whole.note}, {FORM}",
        )


SOURCE = Mnist14()


def _halved(images: "Tensor") -> "Tensor":
    """[N, 1, 2 H, 2 W] → [N, 1, H, W], unsigned bytes."""
    n, channels, height, width = images.shape
    return images.view(n, channels, height // 2, 2, width // 2, 2).float().mean((3, 5)).to(torch.uint8)
