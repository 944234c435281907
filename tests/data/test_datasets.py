"""Reading datasets: the right splits and scales, and refusal of everything else."""

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fake_datasets import N_TRAIN, cifar10_bytes, digests, mnist_bytes, write_cifar10, write_mnist

from rnnprop_cli.components.datasets import load_dataset, mnist
from rnnprop_cli.data.files import SUMS, sums
from rnnprop_cli.errors import DataError, UsageError


def mnist_of(known: dict[str, str]) -> mnist.Mnist:
    """MNIST whose files have these hashes."""
    return mnist.Mnist(replace(mnist.FILES, sha256=known))


REAL_DATA = os.environ.get("REAL_DATA_DIR")  # see tests/conftest.py


def test_digits_come_with_a_fixed_split() -> None:
    digits = load_dataset("digits")
    assert digits.test_images is not None
    assert digits.test_labels is not None
    assert (digits.train_images.shape, digits.test_images.shape) == ((1438, 1, 8, 8), (359, 1, 8, 8))
    assert (digits.train_images.dtype, digits.train_labels.dtype) == (torch.uint8, torch.int64)
    assert int(digits.train_images.max()) * digits.scale == 1.0
    assert set(digits.test_labels.tolist()) == set(range(10))
    assert digits.sha256 == load_dataset("digits").sha256


@pytest.mark.parametrize("compressed", [True, False])
def test_mnist_is_the_last_images_of_the_training_file(compressed: bool, tmp_path: Path) -> None:
    files = mnist_bytes()
    write_mnist(tmp_path, files, compressed=compressed)
    loaded = mnist_of(digests(files)).load(tmp_path)
    assert loaded.train_images.shape == (N_TRAIN - 5000, 1, 2, 2)
    pixels = files["train-images-idx3-ubyte"][16 + 5000 * 4 :]
    assert bytes(loaded.train_images.flatten().tolist()) == pixels
    assert bytes(loaded.train_labels.tolist()) == files["train-labels-idx1-ubyte"][8 + 5000 :]
    assert loaded.test_labels is not None
    assert bytes(loaded.test_labels.tolist()) == files["t10k-labels-idx1-ubyte"][8:]
    assert (loaded.scale, loaded.shift) == (1 / 255, 0.0)


def test_hash_is_of_the_decompressed_bytes(tmp_path: Path) -> None:
    files = mnist_bytes()
    write_mnist(tmp_path / "a", files, compressed=True)
    write_mnist(tmp_path / "b", files, compressed=False)
    known = digests(files)
    assert mnist_of(known).load(tmp_path / "a").sha256 == mnist_of(known).load(tmp_path / "b").sha256


def test_one_flipped_bit_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    files = mnist_bytes()
    known = digests(files)
    damaged = bytearray(files["train-images-idx3-ubyte"])
    damaged[12_345] ^= 1
    folder = write_mnist(tmp_path, {**files, "train-images-idx3-ubyte": bytes(damaged)}, compressed=False)
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte is damaged.*(?s:.)*rnnprop data fetch mnist"
    ):
        mnist_of(known).load(tmp_path)
    assert (folder / "train-images-idx3-ubyte").read_bytes() == damaged


def test_absent_data_says_what_where_and_how(tmp_path: Path, empty_cache: Path) -> None:
    files = mnist_bytes()
    del files["t10k-labels-idx1-ubyte"]
    write_mnist(tmp_path, files)
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", tmp_path)
    message = str(caught.value)
    assert f"looked in {tmp_path / 'mnist'}: there is no t10k-labels-idx1-ubyte (plain" in message
    assert f"looked in {empty_cache / 'mnist'}: there is no train-images-idx3-ubyte, no" in message
    assert "rnnprop data fetch mnist" in message


def test_folders_are_searched_in_order(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root, n_records in ((tmp_path / "flag", 1), (tmp_path / "variable", 2), (empty_cache, 3)):
        write_cifar10(root, {"data_batch_1.bin": cifar10_bytes(n_records)})
    assert len(load_dataset("cifar10").train_labels) == 3
    monkeypatch.setenv("RNNPROP_DATA_DIR", str(tmp_path / "variable"))
    assert len(load_dataset("cifar10").train_labels) == 2
    assert len(load_dataset("cifar10", tmp_path / "flag").train_labels) == 1
    assert len(load_dataset("cifar10", tmp_path / "absent").train_labels) == 3


def test_cifar10_takes_what_is_there_and_says_so(tmp_path: Path) -> None:
    first, third = cifar10_bytes(3, seed=1), cifar10_bytes(2, seed=3)
    write_cifar10(tmp_path, {"data_batch_1.bin.gz": first, "data_batch_3.bin": third})
    cifar = load_dataset("cifar10", tmp_path)
    assert cifar.note == "5 of 60,000 CIFAR-10 images, no test split"
    assert cifar.test_images is None
    assert bytes(cifar.train_images[3].flatten().tolist()) == third[1:3073]
    assert cifar.train_labels.tolist() == [first[0], first[3073], first[6146], third[0], third[3073]]
    assert (cifar.scale, cifar.shift) == (1 / 255, -0.5)


def test_cifar10_test_batch_is_the_test_split(tmp_path: Path) -> None:
    write_cifar10(tmp_path, {"data_batch_1.bin": cifar10_bytes(2), "test_batch.bin": cifar10_bytes(1)})
    cifar = load_dataset("cifar10", tmp_path)
    assert cifar.test_images is not None
    assert cifar.test_images.shape == (1, 3, 32, 32)
    assert cifar.note == "3 of 60,000 CIFAR-10 images"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (cifar10_bytes(2)[:-1], "6,145 bytes, which is no multiple of 3,073"),
        (b"", "0 bytes, which is no multiple"),
        (b"\x0a" + cifar10_bytes(1)[1:], "holds label 10"),
    ],
)
def test_damaged_cifar10_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    write_cifar10(tmp_path, {"data_batch_1.bin": content})
    with pytest.raises(DataError, match=reason):
        load_dataset("cifar10", tmp_path)


def test_sums_beside_the_files_are_obeyed(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path, {"data_batch_1.bin": cifar10_bytes(1)})
    (folder / SUMS).write_text(sums(digests({"data_batch_1.bin": cifar10_bytes(1)})))
    assert len(load_dataset("cifar10", tmp_path).train_labels) == 1
    (folder / SUMS).write_text(sums(digests({"data_batch_1.bin": cifar10_bytes(1, seed=9)})))
    with pytest.raises(DataError, match="is damaged"):
        load_dataset("cifar10", tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(cifar10_bytes(1))[:-20], gzip.compress(cifar10_bytes(1))[:-8] + b"\0" * 8],
    ids=["not gzip", "cut short", "wrong checksum"],
)
def test_damaged_gzip_is_refused(content: bytes, tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path, {})
    (folder / "data_batch_1.bin.gz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("train-images-idx3-ubyte", b"\0\0\x08\x01" + b"\0" * 100, "is not an idx file of 3 dimensions"),
        ("train-images-idx3-ubyte", b"\0\0", "is not an idx file"),
        (
            "train-images-idx3-ubyte",
            mnist_bytes()["train-images-idx3-ubyte"] + b"\0",
            "its header says 20,056",
        ),
        (
            "train-labels-idx1-ubyte",
            mnist_bytes()["t10k-labels-idx1-ubyte"],
            "5,010 train images but 20 labels",
        ),
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x14" + b"\x0a" * 20, "holds label 10"),
    ],
)
def test_wrong_idx_files_are_refused(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    files = {**mnist_bytes(), name: content}
    write_mnist(tmp_path, files)
    with pytest.raises(DataError, match=reason):
        mnist_of(digests(files)).load(tmp_path)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="choose from digits, mnist, cifar10"):
        load_dataset("../mnist")


@pytest.mark.skipif(not REAL_DATA, reason="RNNPROP_DATA_DIR is not set")
def test_real_mnist() -> None:
    assert REAL_DATA is not None
    mnist = load_dataset("mnist", Path(REAL_DATA))
    assert mnist.train_images.shape == (55_000, 1, 28, 28)
    assert mnist.test_images is not None
    assert mnist.test_images.shape == (10_000, 1, 28, 28)
    assert mnist.train_labels.bincount().min() > 4_900


@pytest.mark.skipif(not REAL_DATA, reason="RNNPROP_DATA_DIR is not set")
def test_real_cifar10() -> None:
    assert REAL_DATA is not None
    cifar = load_dataset("cifar10", Path(REAL_DATA))
    assert cifar.train_images.shape[1:] == (3, 32, 32)
    assert cifar.train_images.float().mean() == pytest.approx(
        121, abs=5
    )  # of the whole training split: 120.7
