"""Where a database lies, and whether it still does."""

from pathlib import Path

from rnnprop_cli.errors import StoreError
from rnnprop_cli.store.trouble import storage_errors


def prepare_folder(path: Path) -> Path:
    """The database's real path, its folder made.

    Raises:
        StoreError: the folder cannot be made.
    """
    try:
        place = path.expanduser().resolve()
    except (RuntimeError, ValueError) as error:  # a loop of links, an unknown user's home, a zero byte
        raise StoreError(f"{path}: cannot be a database: {error}. Choose another place with --db.") from None
    with storage_errors(path):
        place.parent.mkdir(parents=True, exist_ok=True)
    return place


def identity(path: Path) -> tuple[int, int] | None:
    """What a path names at this moment; None if nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
