"""Which folder beside the database holds the checkpoints of a meta-training.

The database itself says so: it may be renamed or copied, others may lie in the same folder, and one that was deleted
and made anew has experiments of the same ids. Only a name that is drawn once and kept is never taken for another's.
"""

import secrets
import sqlite3
from pathlib import Path, PurePosixPath
from typing import Final

from rnnprop_cli.files.writing import CHECKPOINTS
from rnnprop_cli.plan.identity import content_hash

_HASH_IN_NAME: Final = 16  # characters of what identifies the recipe, for people who look into the folder


def new_folder(spec_sha256: str) -> str:
    """A name that nothing else has, relative to the database's folder."""
    return f"{CHECKPOINTS}/{spec_sha256[:_HASH_IN_NAME]}-{secrets.token_hex(6)}"


def adopt_folders(connection: sqlite3.Connection, path: Path) -> None:
    """Writes down the folders of meta-trainings of schema 1, which were named after the database's file.

    What cannot be found stays unknown until the file has its old name again: it is then found here, and not made anew.
    The caller holds the transaction.
    """
    rows = connection.execute(
        "SELECT e.id, e.created_utc, e.spec_sha256, r.id, r.key FROM experiment e JOIN run r ON r.experiment_id = e.id"
        " WHERE e.kind = 'train' AND e.folder IS NULL"
    ).fetchall()
    for experiment_id, created_utc, spec_sha256, run_id, key in rows:
        folder = _recorded(connection, run_id) or _named_after_file(path, experiment_id, created_utc, key)
        if folder is None and not _has_progress(connection, run_id):
            folder = new_folder(str(spec_sha256))
        if folder is not None:
            connection.execute("UPDATE experiment SET folder = ? WHERE id = ?", (folder, experiment_id))


def _recorded(connection: sqlite3.Connection, run_id: int) -> str | None:
    """Where the newest checkpoint that was kept lies."""
    row = connection.execute(
        "SELECT path FROM checkpoint WHERE run_id = ? ORDER BY meta_step DESC, id DESC LIMIT 1", (run_id,)
    ).fetchone()
    if row is None:
        return None
    parent = PurePosixPath(str(row[0])).parent
    return parent.as_posix() if parent.parts[:1] == (CHECKPOINTS,) and len(parent.parts) == 2 else None


def _named_after_file(path: Path, experiment_id: int, created_utc: str, key: str) -> str | None:
    """The name as schema 1 made it, if there is such a folder."""
    owner = content_hash([path.name, experiment_id, created_utc])
    folder = f"{CHECKPOINTS}/{str(key)[:16]}-{owner[:8]}"
    return folder if (path.parent / folder).is_dir() else None


def _has_progress(connection: sqlite3.Connection, run_id: int) -> bool:
    return (
        connection.execute("SELECT 1 FROM chunk WHERE run_id = ? LIMIT 1", (run_id,)).fetchone() is not None
    )
