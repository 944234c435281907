"""Whether a run could write here, asked before anything expensive is loaded or computed."""

from pathlib import Path

from rnnprop_cli.store.database import look_before_writing
from rnnprop_cli.store.lock import writer_lock
from rnnprop_cli.store.migrations import NEWEST_VERSION
from rnnprop_cli.store.place import prepare_folder


def check_writable(database: Path) -> None:
    """Takes the lock for a moment and looks at the database; `Writer.open` does so again when the time comes.

    Raises:
        StoreError: another process writes (names its pid), the folder is read-only, or the file is not ours to write.
    """
    path = prepare_folder(database)
    with writer_lock(path):
        if path.exists():
            look_before_writing(path, NEWEST_VERSION)
