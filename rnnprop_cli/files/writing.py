"""The one way in which a file that somebody named is written: whole or not at all, and never over what we read."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from rnnprop_cli.errors import StoreError
from rnnprop_cli.files.limits import larger_files

_SIDES: Final = ("-wal", "-shm", "-journal", ".lock", ".new")  # of a database
_SQLITE_MAGIC: Final = b"SQLite format 3\x00"
CHECKPOINTS: Final = "checkpoints"  # the folder of checkpoints beside a database


def write_whole(
    target: Path,
    content: str | bytes | Iterable[str],
    *,
    database: Path | None = None,
    replace: bool = False,
) -> None:
    """Write a file so that it is there as a whole or, whatever happens, not at all.

    A device or a pipe is written to as it is. Through a symbolic link, the file that it names is written.

    Args:
        target: where to; its folder is made if need be.
        content: text becomes UTF-8; of an iterable, piece after piece.
        database: which must not be written over, nor its side files and checkpoints.
        replace: an existing file may be written over, unless it is something that we read.

    Raises:
        StoreError: there is a file that stays; or it cannot be written: says why and how many bytes are free.
    """

    def fill(descriptor: int) -> None:
        pieces = [content] if isinstance(content, str | bytes) else content
        for piece in pieces:
            _write_all(
                descriptor, piece.encode("utf-8", "surrogateescape") if isinstance(piece, str) else piece
            )

    write_by(target, fill, database=database, replace=replace)


def write_by(
    target: Path, fill: Callable[[int], None], *, database: Path | None = None, replace: bool = False
) -> None:
    """As `write_whole`; `fill` is given a descriptor that it writes to and leaves open."""
    check_output(target, database=database, replace=replace)
    try:
        status = _status(target)
        if status is not None and not stat.S_ISREG(status.st_mode):
            _write_through(target, fill)
            return
        place = target.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        _write_beside(place, fill, None if status is None else stat.S_IMODE(status.st_mode), replace)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        raise cannot_write(target, error) from error


def check_output(target: Path, *, database: Path | None = None, replace: bool = False) -> None:
    """Whether a command may write there, asked before it computes anything.

    Raises:
        StoreError: it may not: what is there is ours to read, or something that stays.
    """
    try:
        status = _status(target)
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise StoreError(f"{target}: is a directory. Name a file in it.")
        if status is not None and stat.S_ISBLK(status.st_mode):
            raise StoreError(f"{target}: is a disk. Name a file.")
        if database is not None and (what := _part_of(target, database)):
            raise StoreError(f"{target}: is {what}, and nothing is written over it. Name another file.")
        if status is None and target.is_symlink() and not replace:
            raise _exists(target)
        if status is None or not stat.S_ISREG(status.st_mode):
            return
        if not replace:
            raise _exists(target)
        if what := _something_read(target):
            raise StoreError(f"{target}: is {what}, and nothing is written over it. Name another file.")
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, a zero byte
        reason = error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error))
        raise cannot_write(target, reason) from error


def cannot_write(target: Path, error: OSError) -> StoreError:
    """What to say when a file cannot be written."""
    remedy = "Name another file."
    if error.errno == errno.EFBIG and (limit := larger_files()):
        remedy = limit
    elif error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = f"{free_bytes(target):,} bytes are free on that disk. Make room, or name another file."
    return StoreError(f"{target}: {error.strerror or error}; nothing was left of it. {remedy}")


def free_bytes(path: Path) -> int:
    """Bytes that we may still write where `path` lies, or would lie; 0 where that cannot be told."""
    for place in (path, *path.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return 0


def usual_mode() -> int:
    """Of a new file: what the umask leaves."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _exists(target: Path) -> StoreError:
    return StoreError(f"{target}: exists already. Name a file that does not.")


def _part_of(target: Path, database: Path) -> str | None:
    """What of a database `target` is; by name too, for its side files come and go."""
    place, own = target.resolve(), database.expanduser().resolve()
    if place == own or _same(place, own):
        return "the database"
    for side in _SIDES:
        beside = own.with_name(own.name + side)
        if place == beside or _same(place, beside):
            return "a file that belongs to the database"
    if place.is_relative_to(own.parent / CHECKPOINTS):
        return "among the checkpoints of the database"
    return None


def _same(one: Path, other: Path) -> bool:
    """Whether they are one file, by a hard link perhaps."""
    with suppress(OSError):
        return one.samefile(other)
    return False


def _something_read(target: Path) -> str | None:
    """What an existing file is, if it is of a sort that we read rather than write over."""
    place = target.resolve()
    if place.suffix == ".toml":
        return "a spec"
    if place.suffix == ".safetensors" or place.with_suffix(".safetensors").exists():
        return "part of a checkpoint"
    for side in _SIDES:
        if place.name.endswith(side) and _is_database(place.with_name(place.name.removesuffix(side))):
            return "a file that belongs to a database"
    return "a database" if _is_database(place) else None


def _is_database(path: Path) -> bool:
    """Any: also one that another program has open, whose locks a reading of ours in this process cannot disturb."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    return False


def _write_beside(place: Path, fill: Callable[[int], None], mode: int | None, replace: bool) -> None:
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:100]}.", suffix=".tmp")
    temporary = Path(name)
    try:
        try:
            fill(descriptor)
            os.fchmod(descriptor, usual_mode() if mode is None else mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replace:
            temporary.replace(place)
        else:
            _move_to_free_name(temporary, place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _move_to_free_name(temporary: Path, place: Path) -> None:
    """Unlike a rename, a link fails where somebody was faster."""
    try:
        os.link(temporary, place)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK) or place.exists():
            raise
        temporary.replace(place)  # a file system without links
    else:
        temporary.unlink()


def _write_through(target: Path, fill: Callable[[int], None]) -> None:
    # Non-blocking at first: a pipe that nobody reads is refused instead of waited for.
    descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        os.set_blocking(descriptor, True)
        fill(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
