"""`rnnprop data`: which datasets are here, fetching them, verifying them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnprop_cli.cli.console import settings, show_error, stderr, stdout
from rnnprop_cli.cli.options import DataDirOption, JsonOption
from rnnprop_cli.errors import DataError
from rnnprop_cli.view.safe_text import safe_text

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(help="List, fetch and verify datasets.", no_args_is_help=True)

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        help="digits, mnist, cifar10, sentences, a file or folder/ of your own; without any, all that are here.",
    ),
]


@app.command("list")
def list_(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show each dataset and where it is; reads no data and opens no connection."""
    rows = datasets_here(data_dir) + _offered()
    if as_json:
        typer.echo(json.dumps({"datasets": rows}, indent=2))
        return
    for row in rows:
        where = safe_text(row["where"] or f"fetch it with: rnnprop data fetch {row['name']}")
        stdout().print(f"{safe_text(row['name']):<9}  {row['status']:<7}  {where}", soft_wrap=True)


def _offered() -> list[dict[str, Any]]:
    """name, status and where of every dataset of an installed package; imports none of it."""
    from rnnprop_cli.components.datasets.packaged import GROUP
    from rnnprop_cli.components.plugins import entry_point, entry_point_names

    names = entry_point_names(GROUP)
    return [{"name": name, "status": "package", "where": entry_point(GROUP, name)} for name in names]


def datasets_here(data_dir: Path | None) -> list[dict[str, Any]]:
    """name, status (bundled, found, absent) and where, of every dataset."""
    from rnnprop_cli.components.datasets import sources
    from rnnprop_cli.data.files import find

    rows: list[dict[str, Any]] = []
    for name, source in sources().items():
        found = None if source.files is None else find(source.files, data_dir)
        if source.files is None:
            rows.append({"name": name, "status": "bundled", "where": source.origin})
        elif found is None:
            rows.append({"name": name, "status": "absent", "where": None})
        else:
            rows.append({"name": name, "status": "found", "where": str(found.folder)})
    return rows


@app.command()
def fetch(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="mnist, cifar10.")],
    data_dir: DataDirOption = None,
) -> None:
    """Download datasets, check their SHA-256 and put them in the data folder or the cache. Overwrites nothing."""
    from rnnprop_cli.components.datasets import source_of
    from rnnprop_cli.data.fetch import fetch as fetch_one

    quiet = settings(ctx).quiet
    for name, source in [(name, source_of(name)) for name in names]:
        if not quiet:
            stderr().print(f"{name} ...")
        with _bars(shown=not quiet and stderr().is_terminal) as bar:
            folder = None if source.files is None else fetch_one(source.files, data_dir, bar=bar)
        if not quiet:
            done = "is here already" if folder is None else f"fetched into {safe_text(str(folder))}"
            stderr().print(f"{name} {done}", soft_wrap=True)


@app.command()
def verify(ctx: typer.Context, names: NamesArgument = None, data_dir: DataDirOption = None) -> None:
    """Read datasets and check every byte. Without names, those that are here. Exits 4 if one is absent or damaged."""
    from rnnprop_cli.components.datasets import load_dataset, source_of

    for name in names or []:
        source_of(name)
    wanted = names or [row["name"] for row in datasets_here(data_dir) if row["status"] != "absent"]
    wrong = 0
    for name in wanted:
        try:
            dataset = load_dataset(name, data_dir)
        except DataError as error:
            wrong += 1
            show_error(error)
        else:
            if not settings(ctx).quiet:
                note = f" - {dataset.note}" if dataset.note else ""
                stdout().print(
                    f"{safe_text(name)}: ok, sha256 {dataset.sha256[:16]}{safe_text(note)}", soft_wrap=True
                )
    if wrong:
        raise typer.Exit(4)


@contextmanager
def _bars(*, shown: bool) -> Iterator[Callable[[str], "_Bar"] | None]:
    """Progress bars of downloads, where there is a terminal."""
    if not shown:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=stderr(), transient=True) as progress:
        yield lambda file: _Bar(progress, file)


class _Bar:
    """A Rich task that speaks tqdm, as pooch wants it."""

    def __init__(self, progress: "Progress", file: str) -> None:
        self._progress = progress
        self._task = progress.add_task(file, total=None)

    @property
    def total(self) -> float | None:
        """Bytes to come."""
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, total: float) -> None:
        self._progress.update(self._task, total=total or None)

    def update(self, count: int) -> None:
        """`count` more bytes are here."""
        self._progress.advance(self._task, count)

    def reset(self) -> None:
        """Back to none."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """The download is done."""
