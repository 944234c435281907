"""Who is writing to the database: read from the lock file, without touching the lock."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnprop_cli.files.reading import parse_json, read_regular
from rnnprop_cli.store.lock import MOST_BYTES, lock_path


@dataclass(frozen=True)
class Holder:
    """The process that took the writer's lock last and has not given it back."""

    pid: int
    command: str
    alive: bool


def find_holder(databases: Sequence[Path]) -> Holder | None:
    """Who writes to one of the databases, one that lives if there is one; None if nobody holds a lock.

    A writer that ends in order empties the file; one that was killed leaves its pid behind. Trying the lock itself
    could make a writer that starts at this moment believe that it is taken.
    """
    found = [holder for database in databases if (holder := _read_holder(database)) is not None]
    return next((holder for holder in found if holder.alive), found[0] if found else None)


def _read_holder(database: Path) -> Holder | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
        found = parse_json(read_regular(lock_path(database.expanduser().resolve()), MOST_BYTES))
        pid = int(found["pid"])
        return Holder(pid, str(found["command"]), _is_alive(pid))
    return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True
