"""What the system allows this process, in words for those who run into it."""

import errno
import fcntl
import os
import pwd
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

TOO_MANY_OPEN: Final = (errno.EMFILE, errno.ENFILE)
_ENOUGH: Final = 8  # descriptors that SQLite or a start of a process needs at once


def few_descriptors() -> bool:
    """Whether hardly any more files can be opened."""
    taken = []
    try:
        for _ in range(_ENOUGH):
            taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in TOO_MANY_OPEN
    finally:
        for descriptor in taken:
            os.close(descriptor)
    return False


def more_descriptors() -> str:
    """What to do where no more files can be opened."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"This process may have {most} files open at once: allow more with `ulimit -n 1024` and try again."


def larger_files() -> str | None:
    """What to do where a file cannot grow because of a limit on sizes; None if there is no limit."""
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most == resource.RLIM_INFINITY:
        return None
    return f"This process may write files of at most {most:,} bytes: raise that (`ulimit -f`) and try again."


def owner(path: Path) -> str | None:
    """Whose a file is, None if it is ours or cannot be told."""
    with suppress(OSError):
        number = path.stat().st_uid
        if number != os.geteuid():
            with suppress(KeyError):
                return pwd.getpwuid(number).pw_name
            return f"user {number}"
    return None


def why_no_locks(path: Path) -> str | None:
    """Why no file can be locked where `path` lies; None if that works.

    Args:
        path: a file or folder on which nobody holds a POSIX lock in this process: closing it here would drop that.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if path.is_file():
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return None  # somebody holds one
    except OSError as error:
        return error.strerror
    finally:
        os.close(descriptor)
    return None
