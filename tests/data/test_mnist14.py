"""MNIST at half the size."""

from dataclasses import replace
from pathlib import Path

import torch
from fake_datasets import digests, mnist_bytes, write_mnist

from rnnprop_cli.components.datasets import facts_of, sources
from rnnprop_cli.components.datasets.mnist import FILES, Mnist
from rnnprop_cli.components.datasets.mnist14 import Mnist14


def test_every_pixel_is_the_mean_of_four_rounded_down(tmp_path: Path) -> None:
    files = mnist_bytes()
    write_mnist(tmp_path, files)
    known = replace(FILES, sha256=digests(files))
    whole, half = Mnist(known).load(tmp_path), Mnist14(known).load(tmp_path)
    assert half.name == "mnist14"
    assert torch.equal(
        half.train_images.flatten(), whole.train_images.float().mean((1, 2, 3)).to(torch.uint8)
    )
    assert whole.test_images is not None
    assert half.test_images is not None
    assert torch.equal(half.test_images.flatten(), whole.test_images.float().mean((1, 2, 3)).to(torch.uint8))
    assert torch.equal(half.train_labels, whole.train_labels)
    assert half.sha256 != whole.sha256


def test_its_facts_are_those_of_mnist_at_14_x_14() -> None:
    assert facts_of("mnist14") == facts_of("mnist")._replace(shape=(1, 14, 14))
    assert sources()["mnist14"].files == FILES
