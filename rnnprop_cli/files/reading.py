"""The one way in which a file that somebody else named is read."""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

_KINDS: Final = (
    (stat.S_ISDIR, errno.EISDIR, "is a directory"),
    (stat.S_ISFIFO, errno.EINVAL, "is a pipe, not a file"),
    (stat.S_ISSOCK, errno.EINVAL, "is a socket, not a file"),
    (stat.S_ISCHR, errno.EINVAL, "is a device, not a file"),
    (stat.S_ISBLK, errno.EINVAL, "is a device, not a file"),
)


@contextlib.contextmanager
def open_regular(path: Path, most_bytes: int, *, follow: bool = True) -> Iterator[IO[bytes]]:
    """A regular file of at most `most_bytes`, opened for reading. Never waits, whatever `path` names.

    Args:
        path: of the file.
        most_bytes: no file of this sort is larger.
        follow: whether the last component may be a symbolic link.

    Raises:
        OSError: it cannot be opened, is no regular file or too large; `strerror` says which, to stand after the path.
    """
    # Non-blocking: a pipe without a writer would be waited for, and what it is shows only once it is open.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.EINVAL, f"is no name of a file ({error})", str(path)) from None
    except OSError as error:
        if not follow and error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "is a symbolic link", str(path)) from None
        if error.errno == errno.ENXIO:
            raise OSError(errno.EINVAL, "is a socket, not a file", str(path)) from None
        raise
    try:
        status = os.fstat(descriptor)
        check_regular(status, path)
        if status.st_size > most_bytes:
            raise OSError(
                errno.EFBIG,
                f"is too large ({status.st_size:,} bytes; at most {most_bytes:,} are read)",
                str(path),
            )
        file = open(descriptor, "rb")  # noqa: PTH123, SIM115  it owns the descriptor
    except BaseException:
        os.close(descriptor)
        raise
    with file:
        yield file


def read_regular(path: Path, most_bytes: int, *, follow: bool = True) -> bytes:
    """All bytes of such a file; raises as `open_regular` does."""
    with open_regular(path, most_bytes, follow=follow) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:  # it grew, or its size is not known to the file system, as in /proc
        raise OSError(errno.EFBIG, f"is too large (at most {most_bytes:,} bytes are read)", str(path))
    return content


def check_regular(status: os.stat_result, path: Path) -> None:
    """Raises OSError, with a `strerror` that stands after the path, for what is no regular file."""
    for is_kind, number, words in _KINDS:
        if is_kind(status.st_mode):
            raise OSError(number, words, str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is not a file", str(path))


def parse_json(text: str | bytes) -> Any:
    """As `json.loads`, with one error for everything that is no JSON.

    Raises:
        ValueError: it is none, not UTF-8, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except TypeError as error:
        raise ValueError(str(error)) from None
