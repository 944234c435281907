"""The 1,797 8x8 digits that scikit-learn bundles (values 0 … 16).

Every fifth image (index 4, 9, 14, …) is the test split: 1,438 train, 359 test.
"""

import hashlib
from pathlib import Path
from typing import Final

from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts, Source
from rnnprop_cli.data.files import sums
from rnnprop_cli.lazy import torch

TEST_EVERY: Final = 5


class Digits(Source):
    """Needs no file."""

    name = "digits"
    origin = "scikit-learn"

    def facts(self) -> DatasetFacts:
        """See `Source`."""
        return DatasetFacts((1, 8, 8), classes=10, train=1_438, test=359)

    def load(self, data_dir: Path | None) -> Dataset:
        """See `Source`."""
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
            self.name,
            images[~is_test],
            labels[~is_test],
            images[is_test],
            labels[is_test],
            scale=1 / 16,
            classes=10,
            sha256=hashlib.sha256(sums(digests).encode()).hexdigest(),
            note=f"{len(labels):,} 8x8 digits bundled with scikit-learn",
        )


SOURCE = Digits()
