"""Fetching with mirrors that are functions: no test opens a connection."""

import gzip
import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from fake_datasets import cifar10_bytes, digests, mnist_bytes, write_cifar10, write_mnist

from rnnprop_cli.components.datasets import cifar10, mnist
from rnnprop_cli.data.fetch import fetch
from rnnprop_cli.data.files import Archive
from rnnprop_cli.errors import DataError

FILES = mnist_bytes()
MNIST = mnist.Mnist(replace(mnist.FILES, sha256=digests(FILES)))
CIFAR10 = cifar10.SOURCE


class Mirror:
    """Serves bytes by the last part of the URL and remembers what it was asked."""

    def __init__(self, contents: dict[str, bytes], dead: tuple[str, ...] = ()) -> None:
        self.contents = contents
        self.dead = dead
        self.asked: list[str] = []

    def __call__(self, url: str, target: Path) -> None:
        self.asked.append(url)
        target.write_bytes(b"half")  # what a broken connection leaves
        if url.startswith(self.dead):
            raise ConnectionError("name or service not known")
        target.write_bytes(self.contents[url.rsplit("/", 1)[-1]])


def _mnist_mirror(**damaged: bytes) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in {**FILES, **damaged}.items()}


def _everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_mnist_is_fetched_and_then_loads(tmp_path: Path) -> None:
    mirror = Mirror(_mnist_mirror())
    assert fetch(MNIST.files, tmp_path, download=mirror) == tmp_path / "mnist"
    assert MNIST.load(tmp_path).name == "mnist"
    assert _everything(tmp_path) == sorted([*(f"mnist/{name}.gz" for name in FILES), "mnist/SHA256SUMS"])
    assert fetch(MNIST.files, tmp_path, download=mirror) is None
    assert len(mirror.asked) == 4


def test_it_goes_to_the_cache_by_default(empty_cache: Path) -> None:
    assert fetch(MNIST.files, None, download=Mirror(_mnist_mirror())) == empty_cache / "mnist"


def test_a_dead_mirror_is_passed_over(tmp_path: Path) -> None:
    mirror = Mirror(_mnist_mirror(), dead=MNIST.files.mirrors.urls[:1])
    assert fetch(MNIST.files, tmp_path, download=mirror)


def test_offline_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"cannot be downloaded(?s:.)*name or service not known(?s:.)*--data-dir"
    ):
        fetch(MNIST.files, tmp_path, download=Mirror({}, dead=("https://",)))
    assert _everything(tmp_path) == []


def test_wrong_bytes_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    mirror = Mirror(_mnist_mirror(**{"t10k-labels-idx1-ubyte": b"other"}))
    with pytest.raises(DataError, match="another SHA-256"):
        fetch(MNIST.files, tmp_path, download=mirror)
    assert _everything(tmp_path) == []


def test_a_stranger_in_the_way_is_not_overwritten_nor_is_anything_downloaded(tmp_path: Path) -> None:
    folder = write_mnist(tmp_path, {"train-labels-idx1-ubyte": b"mine"})
    before = (folder / "train-labels-idx1-ubyte.gz").read_bytes()
    mirror = Mirror(_mnist_mirror())
    with pytest.raises(DataError, match="is in the way"):
        fetch(MNIST.files, tmp_path, download=mirror)
    assert (folder / "train-labels-idx1-ubyte.gz").read_bytes() == before
    assert mirror.asked == []


def test_missing_files_are_added_to_right_ones(tmp_path: Path) -> None:
    write_mnist(tmp_path, {name: FILES[name] for name in list(FILES)[:2]})
    assert fetch(MNIST.files, tmp_path, download=Mirror(_mnist_mirror()))
    assert MNIST.load(tmp_path).name == "mnist"


def test_a_damaged_dataset_is_refused_rather_than_fetched_again(tmp_path: Path) -> None:
    write_mnist(tmp_path, {**FILES, "t10k-labels-idx1-ubyte": b"x"})
    with pytest.raises(DataError, match="is damaged"):
        fetch(MNIST.files, tmp_path, download=Mirror(_mnist_mirror()))


def _archive(escape: bool = False) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for index, name in enumerate((*CIFAR10.files.names, *(["../../escaped"] if escape else []))):
            content = cifar10_bytes(2, seed=index)
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def test_cifar10_is_unpacked_and_then_loads(tmp_path: Path) -> None:
    root, archive = tmp_path / "data", _archive(escape=True)
    mirror = Mirror({"cifar-10-binary.tar.gz": archive})
    assert isinstance(CIFAR10.files.mirrors, Archive)
    known = replace(CIFAR10.files.mirrors, sha256=hashlib.sha256(archive).hexdigest())
    fetch(replace(CIFAR10.files, mirrors=known), root, download=mirror)
    cifar = CIFAR10.load(root)
    assert (len(cifar.train_labels), cifar.note) == (10, "12 of 60,000 CIFAR-10 images")
    names = [*CIFAR10.files.names, "SHA256SUMS"]
    assert _everything(tmp_path) == sorted(f"data/cifar10/{name}" for name in names)
    (root / "cifar10" / "data_batch_2.bin").write_bytes(cifar10_bytes(2, seed=77))
    with pytest.raises(DataError, match="is damaged"):
        CIFAR10.load(root)


def test_a_wrong_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="another SHA-256"):
        fetch(CIFAR10.files, tmp_path, download=Mirror({"cifar-10-binary.tar.gz": _archive()}))
    assert _everything(tmp_path) == []


def test_a_subset_of_cifar10_is_left_as_it_is(tmp_path: Path) -> None:
    write_cifar10(tmp_path, {"data_batch_1.bin.gz": cifar10_bytes(1)})
    mirror = Mirror({})
    with pytest.raises(DataError, match="holds a part of cifar10"):
        fetch(CIFAR10.files, tmp_path, download=mirror)
    assert mirror.asked == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match=r"cannot be written to .*file"):
        fetch(MNIST.files, blocked, download=Mirror(_mnist_mirror()))
