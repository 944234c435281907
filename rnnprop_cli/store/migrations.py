"""The schema, as numbered steps. Append only: a step that was released is never edited.

Each step runs in one transaction together with the record of it and the new user_version, so a database is always at
exactly one of the versions below.
"""

import sqlite3
from collections.abc import Callable
from typing import Final

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations: Final = Migrations("rnnprop")


def _step(version: int, name: str) -> Callable[[Callable[[Database], None]], Callable[[Database], None]]:
    """Register a migration that leaves the database at `version`."""

    def register(body: Callable[[Database], None]) -> Callable[[Database], None]:
        def run(db: Database, /) -> None:
            body(db)
            db.conn.execute(f"PRAGMA user_version = {version}")  # transactional, as the migration is

        run.__name__ = f"m{version:03d}_{name}"
        migrations()(run)
        return body

    return register


@_step(1, "initial")
def _initial(db: Database) -> None:
    db.table("experiment").create(
        {
            "id": int,
            "kind": str,  # bench | train
            "name": str,
            "spec_toml": str,
            "spec_json": str,
            "spec_sha256": str,
            "created_utc": str,
            "last_used": int,  # counts up with every start: the greatest of a name is its newest experiment
            "git_sha": str,
            "versions": str,  # JSON object
            "argv": str,  # JSON list
            "host": str,
        },
        pk="id",
        not_null={"kind", "name", "spec_toml", "spec_json", "spec_sha256", "created_utc", "last_used"},
    ).create_index(["kind", "name"])
    db.table("run").create(
        {
            "id": int,
            "experiment_id": int,
            "key": str,
            "phase": str,  # tuning | default | final | train
            "status": str,  # queued | running | done | diverged | failed | interrupted
            "optimizer": str,
            "is_baseline": int,
            "optimizee": str,
            "dataset": str,
            "depth": int,
            "activation": str,
            "horizon": int,
            "lr": float,
            "lr_source": str,  # tuned | given | default | own
            "seed": int,
            "config_json": str,
            "device": str,
            "dtype": str,
            "threads": int,
            "started_utc": str,
            "elapsed_s": float,
            "peak_bytes": int,
            "final_loss": float,  # NULL stands for NaN where status is diverged
            "heldout_loss": float,
            "heldout_accuracy": float,
            "first_bad_step": int,
            "error": str,
        },
        pk="id",
        foreign_keys=[("experiment_id", "experiment", "id")],
        not_null={
            "experiment_id",
            "key",
            "phase",
            "status",
            "optimizer",
            "is_baseline",
            "optimizee",
            "lr_source",
        }
        | {"horizon", "seed", "config_json", "device", "dtype", "threads"},
    ).create_index(["experiment_id", "key"], unique=True).create_index(["status"])
    db.table("metric").create({"id": int, "name": str}, pk="id", not_null={"name"}).create_index(
        ["name"], unique=True
    )
    # A rowid table: WITHOUT ROWID would put the BLOBs into the inner pages of the index.
    db.table("chunk").create(
        {
            "id": int,
            "run_id": int,
            "metric_id": int,
            "step0": int,
            "stride": int,  # value i belongs to step0 + i * stride
            "n": int,  # values, at most 1024
            "dtype": str,  # f4: little-endian float32
            "vmin": float,  # of the finite values; NULL where there is none
            "vmax": float,
            "nonfinite": int,
            "data": bytes,
        },
        pk="id",
        foreign_keys=[("run_id", "run", "id"), ("metric_id", "metric", "id")],
        not_null={"run_id", "metric_id", "step0", "stride", "n", "dtype", "nonfinite", "data"},
    ).create_index(["run_id", "metric_id", "step0"], unique=True)
    db.table("checkpoint").create(
        {
            "id": int,
            "run_id": int,
            "meta_step": int,
            "path": str,  # relative to the database's folder
            "sha256": str,
            "moving_average": float,
            "validation_loss": float,
            "created_utc": str,
        },
        pk="id",
        foreign_keys=[("run_id", "run", "id")],
        not_null={"run_id", "meta_step", "path", "sha256", "created_utc"},
    ).create_index(["run_id", "meta_step", "path"], unique=True)
    db.table("event").create(
        {"id": int, "experiment_id": int, "time_utc": str, "kind": str, "text": str},
        pk="id",
        foreign_keys=[("experiment_id", "experiment", "id")],
        not_null={"experiment_id", "time_utc", "kind", "text"},
    ).create_index(["experiment_id"])


@_step(2, "checkpoint_folders")
def _checkpoint_folders(db: Database) -> None:
    """The folder of a meta-training's checkpoints, relative to the database's; `store/folders.py` fills it in."""
    db.table("experiment").add_column("folder", str)


@_step(3, "nodes")
def _nodes(db: Database) -> None:
    """The machine that computed a run: with a cluster, not the one that records it."""
    db.table("run").add_column("node", str)


OLDEST_READ: Final = 2  # before it, what is asked of a database is not in it
NEWEST_VERSION: Final = len(migrations._migrations)  # sqlite-utils offers no public count


def migrate(connection: sqlite3.Connection) -> list[str]:
    """Bring the database up to `NEWEST_VERSION`; returns the names of the steps that were applied.

    The caller holds the lock: two processes that migrate at once would fail one another.
    """
    db = Database(connection, execute_plugins=False)
    pending = [migration.name for migration in migrations.pending(db)]
    if pending:
        migrations.apply(db)
    return pending
