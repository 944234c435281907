"""`rnnprop db`: where the database is, whether it is sound, copies of it."""

from pathlib import Path
from typing import Annotated

import typer

from rnnprop_cli.cli import console
from rnnprop_cli.view.safe_text import safe_text

app = typer.Typer(no_args_is_help=True, help="Look after the database.")


@app.command()
def path(ctx: typer.Context) -> None:
    """Print where the database is, or would be made."""
    console.print_path(console.settings(ctx).db.resolve())


@app.command()
def check(ctx: typer.Context) -> None:
    """Read all of it: SQLite's own check, curves, and the hashes of checkpoints. Says what mends what is not whole."""
    from rnnprop_cli.errors import CheckpointError
    from rnnprop_cli.runs.soundness import check_all

    shared = console.settings(ctx)
    found = check_all(shared.db)
    counts = found.counts
    if not shared.quiet:
        for remark in found.remarks:
            console.stderr().print(safe_text(remark), soft_wrap=True)
    if found.problems:
        raise CheckpointError("\n".join([f"{shared.db}: not whole", *found.problems]))
    console.stdout().print(
        f"sound: schema {counts.version}, {counts.experiments:,} experiments, {counts.runs:,} runs, "
        f"{counts.values:,} curve values, {counts.checkpoints:,} checkpoints",
        soft_wrap=True,
    )


@app.command()
def backup(
    ctx: typer.Context,
    target: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Default: beside the database, with the time.")
    ] = None,
) -> None:
    """Copy the database into one file, also while a run is writing. Checkpoint files are not copied."""
    from datetime import UTC, datetime

    from rnnprop_cli.store.maintenance import backup as copy_database

    db = console.settings(ctx).db
    if target is None:
        target = db.with_name(f"{db.stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{db.suffix}")
    size = copy_database(db, target)
    console.print_path(target)
    if not console.settings(ctx).quiet:
        console.stderr().print(f"{size:,} bytes", soft_wrap=True)


@app.command()
def merge(
    ctx: typer.Context,
    sources: Annotated[list[Path], typer.Argument(metavar="DATABASE", help="Databases to take from.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="What to add to or make (default: that of --db)."
        ),
    ] = None,
) -> None:
    """Make one database of several, checkpoints included: every result once, by what identifies it.

    A cell that has another result in one of them is refused, with both; then nothing is written. Again: no change.
    """
    from rnnprop_cli.runs.merge import merge as merge_databases

    target = output or console.settings(ctx).db
    merged = merge_databases(sources, target)
    console.print_path(target)
    if not console.settings(ctx).quiet:
        new = f"{merged.added:,} of them added now" if merged.added else "nothing new"
        what = "experiment" if merged.experiments == 1 else "experiments"
        console.stderr().print(f"{merged.experiments:,} {what}, {merged.runs:,} runs, {new}", soft_wrap=True)


@app.command()
def migrate(ctx: typer.Context) -> None:
    """Bring an older database up to date (bench and train do so by themselves)."""
    from rnnprop_cli.store.maintenance import migrate_database
    from rnnprop_cli.store.migrations import NEWEST_VERSION

    before = migrate_database(console.settings(ctx).db)
    if before == NEWEST_VERSION:
        typer.echo(f"up to date: schema {NEWEST_VERSION}")
    else:
        typer.echo(f"migrated: schema {before} to {NEWEST_VERSION}")
