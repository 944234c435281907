"""Download datasets from their usual public mirrors. The only code of the package that opens a socket.

A download goes to a temporary folder beside its place, is checked by hash, and is then moved: an interrupted fetch
leaves nothing behind, and no file that is there is ever overwritten.
"""

import hashlib
import logging
import os
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rnnprop_cli.data.files import (
    ALL_FILES,
    CIFAR10_TEST,
    CIFAR10_TRAIN,
    MNIST_SHA256,
    SUMS,
    check_name,
    find,
    read,
    read_checked,
    read_sums,
    search_folders,
    sums,
)
from rnnprop_cli.errors import DataError

MNIST_MIRRORS: Final = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
CIFAR10_MIRRORS: Final = ("https://www.cs.toronto.edu/~kriz/",)
CIFAR10_ARCHIVE: Final = "cifar-10-binary.tar.gz"
CIFAR10_ARCHIVE_SHA256: Final = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
TIMEOUT_S: Final = (5, 30)  # to connect, and between two pieces

PIECE_BYTES: Final = 1 << 16

Download = Callable[[str, Path], None]  # URL, file to write; raises OSError or ValueError
Bar = Callable[[str], object]  # file name → what pooch takes for tqdm: total, update(n), reset(), close()


def fetch(
    name: str,
    data_dir: Path | None,
    *,
    bar: Bar | None = None,
    download: Download | None = None,
    mnist_sha256: Mapping[str, str] = MNIST_SHA256,
    archive_sha256: str = CIFAR10_ARCHIVE_SHA256,
) -> Path | None:
    """Download a dataset that is not here yet.

    Args:
        name: one of `files.DATASETS`.
        data_dir: where to put it; None takes RNNPROP_DATA_DIR, else the cache.
        bar: makes a progress bar for a file name.
        download: how to get a URL; None takes pooch.
        mnist_sha256: what the decompressed MNIST files must be.
        archive_sha256: what the CIFAR-10 archive must be.

    Returns:
        Its folder, or None where there was nothing to do.

    Raises:
        UsageError: there is no such dataset.
        DataError: no mirror answers, the bytes are wrong, or files are in the way.
    """
    check_name(name)
    if name == "digits":
        return None
    found = find(name, data_dir)
    if found is not None and len(found.files) == len(ALL_FILES[name]):
        read_checked(found, mnist_sha256 if name == "mnist" else {})
        return None
    if found is not None and found.folder == search_folders(data_dir)[0] / name:
        raise DataError(
            f"{found.folder} holds a part of {name} ({', '.join(found.files)}), which is left as it is:\n"
            "move it away, or name another folder with --data-dir"
        )
    get = download or _pooch(bar)
    root = search_folders(data_dir)[0]
    folder = root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=f".fetch-{name}-") as temporary:
            staging = Path(temporary)
            if name == "mnist":
                _check_room(folder, mnist_sha256)  # before anything is downloaded in vain
                digests = _stage_mnist(staging, get, mnist_sha256)
            else:
                digests = _stage_cifar10(staging, get, archive_sha256)
            (staging / SUMS).write_text(sums(digests), encoding="ascii")
            _move(staging, folder, digests)
    except OSError as error:
        raise DataError(f"{name} cannot be written to {folder}: {error.strerror or error}") from None
    return folder


def _stage_mnist(staging: Path, get: Download, expected: Mapping[str, str]) -> dict[str, str]:
    for file, digest in expected.items():
        archive = staging / f"{file}.gz"
        _from_mirrors(MNIST_MIRRORS, archive, get)
        if hashlib.sha256(read(archive)).hexdigest() != digest:
            raise DataError(
                f"what the mirrors gave as {archive.name} has another SHA-256 than {digest}: refused"
            )
    return dict(expected)


def _stage_cifar10(staging: Path, get: Download, expected: str) -> dict[str, str]:
    archive = staging / CIFAR10_ARCHIVE
    _from_mirrors(CIFAR10_MIRRORS, archive, get)
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        raise DataError(
            f"what the mirror gave as {archive.name} has another SHA-256 than {expected}: refused"
        )
    digests: dict[str, str] = {}
    with tarfile.open(archive) as members:
        for file_name in (*CIFAR10_TRAIN, CIFAR10_TEST):
            # Read by name and written by us: nothing that an archive says decides where a file goes.
            member = members.extractfile(f"cifar-10-batches-bin/{file_name}")
            assert member is not None, f"{file_name} is a plain file in the archive of this hash"
            content = member.read()
            digests[file_name] = hashlib.sha256(content).hexdigest()
            (staging / file_name).write_bytes(content)
    archive.unlink()
    return digests


def _move(staging: Path, folder: Path, digests: Mapping[str, str]) -> None:
    """Move the staged files into `folder`, once it is sure that each is new there or equal to what is there."""
    _check_room(folder, digests)
    folder.mkdir(exist_ok=True)
    for path in sorted(staging.iterdir()):
        with path.open("rb") as file_on_disk:
            os.fsync(file_on_disk.fileno())
        path.replace(folder / path.name)


def _check_room(folder: Path, digests: Mapping[str, str]) -> None:
    """Raises DataError if something else stands where a file is to go."""
    known = read_sums(folder)
    for file, digest in digests.items():
        for there in (folder / file, folder / f"{file}.gz"):
            if there.exists() and hashlib.sha256(read(there)).hexdigest() != digest:
                raise DataError(
                    f"{there} is in the way and holds something else: move it away, then fetch again"
                )
        if known.get(file, digest) != digest:
            raise DataError(f"{folder / SUMS} expects another {file}: move it away, then fetch again")


def _from_mirrors(mirrors: tuple[str, ...], target: Path, get: Download) -> None:
    failures = []
    for mirror in mirrors:
        try:
            get(mirror + target.name, target)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            target.unlink(missing_ok=True)
            failures.append(f"  {mirror}: {_reason(error)}")
        else:
            return
    raise DataError(
        "\n".join([f"{target.name} cannot be downloaded (is this machine offline?)", *failures])
        + "\nwithout a network, copy the files from elsewhere and name their folder: --data-dir DIR"
    )


def _reason(error: Exception) -> str:
    """The end of the chain of causes: requests wraps what went wrong in several layers of text."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return f"{type(error).__name__}: {str(cause) or type(cause).__name__}"[:200]


def _pooch(bar: Bar | None) -> Download:
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # its notices would repeat ours

    def download(url: str, target: Path) -> None:
        downloader = pooch.HTTPDownloader(
            progressbar=False if bar is None else bar(target.name), chunk_size=PIECE_BYTES, timeout=TIMEOUT_S
        )
        # No hash here: pooch would check the compressed bytes, of which several versions circulate.
        pooch.retrieve(url, known_hash=None, fname=target.name, path=target.parent, downloader=downloader)

    return download
