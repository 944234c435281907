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
    SUMS,
    Archive,
    Files,
    Mirrors,
    find,
    read,
    read_checked,
    read_sums,
    search_folders,
    sums,
)
from rnnprop_cli.errors import DataError

TIMEOUT_S: Final = (5, 30)  # to connect, and between two pieces

PIECE_BYTES: Final = 1 << 16

Download = Callable[[str, Path], None]  # URL, file to write; raises OSError or ValueError
Bar = Callable[[str], object]  # file name → what pooch takes for tqdm: total, update(n), reset(), close()


def fetch(
    files: Files,
    data_dir: Path | None,
    *,
    bar: Bar | None = None,
    download: Download | None = None,
) -> Path | None:
    """Download a dataset that is not here yet.

    Args:
        files: those of the dataset.
        data_dir: where to put it; None takes RNNPROP_DATA_DIR, else the cache.
        bar: makes a progress bar for a file name.
        download: how to get a URL; None takes pooch.

    Returns:
        Its folder, or None where there was nothing to do.

    Raises:
        DataError: no mirror answers, the bytes are wrong, or files are in the way.
    """
    name = files.dataset
    found = find(files, data_dir)
    if found is not None and len(found.paths) == len(files.names):
        read_checked(found, files.sha256)
        return None
    if found is not None and found.folder == search_folders(data_dir)[0] / name:
        raise DataError(
            f"{found.folder} holds a part of {name} ({', '.join(found.paths)}), which is left as it is:\n"
            "move it away, or name another folder with --data-dir"
        )
    get = download or _pooch(bar)
    root = search_folders(data_dir)[0]
    folder = root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=f".fetch-{name}-") as temporary:
            staging = Path(temporary)
            _check_room(folder, files.sha256)  # before anything is downloaded in vain
            if isinstance(files.mirrors, Mirrors):
                digests = _stage_files(staging, get, files.mirrors, files.sha256)
            else:
                digests = _stage_archive(staging, get, files.mirrors, files.names)
            (staging / SUMS).write_text(sums(digests), encoding="ascii")
            _move(staging, folder, digests)
    except OSError as error:
        raise DataError(f"{name} cannot be written to {folder}: {error.strerror or error}") from None
    return folder


def _stage_files(
    staging: Path, get: Download, mirrors: Mirrors, expected: Mapping[str, str]
) -> dict[str, str]:
    for file, digest in expected.items():
        archive = staging / f"{file}.gz"
        _from_mirrors(mirrors.urls, archive, get)
        if hashlib.sha256(read(archive)).hexdigest() != digest:
            raise DataError(
                f"what the mirrors gave as {archive.name} has another SHA-256 than {digest}: refused"
            )
    return dict(expected)


def _stage_archive(staging: Path, get: Download, source: Archive, names: tuple[str, ...]) -> dict[str, str]:
    archive = staging / source.name
    _from_mirrors(source.urls, archive, get)
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != source.sha256:
        raise DataError(
            f"what the mirror gave as {archive.name} has another SHA-256 than {source.sha256}: refused"
        )
    digests: dict[str, str] = {}
    with tarfile.open(archive) as members:
        for file_name in names:
            # Read by name and written by us: nothing that an archive says decides where a file goes.
            member = members.extractfile(f"{source.folder}/{file_name}")
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
