"""What the shell offers at Tab: names of experiments, runs, weights and specs. Never an error, whatever is there."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from rnnprop_cli.records import Kind
    from rnnprop_cli.store.reader import Reader

_MOST: Final = 50  # runs that are offered


def benches(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of benchmarks, the newest first."""
    return _offered(incomplete, lambda: _experiments(ctx, "bench"))


def experiments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of benchmarks and meta-trainings, the newest first."""
    return _offered(incomplete, lambda: _experiments(ctx, None))


def trainings(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of meta-trainings, the newest first, and "latest"."""
    return _offered(incomplete, lambda: _experiments(ctx, "train"), lambda: ["latest"])


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of the newest runs; of a word that is no number, keys that begin so."""

    def found() -> Iterator[str]:
        for reader in _readers(ctx):
            every = [run for each in reader.experiments() for run in reader.runs(each.id)]
            every.sort(key=lambda run: -run.id)
            yield from (str(run.id) for run in every)
            yield from (run.facts.key for run in every if incomplete)

    return _offered(incomplete, found)[:_MOST]


def weights(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of meta-trainings and of shipped weights, and files of weights."""
    from rnnprop_cli.runs.shipped_weights import shipped_names

    return _offered(
        incomplete,
        lambda: _experiments(ctx, "train"),
        shipped_names,
        lambda: _paths(incomplete, ".safetensors"),
    )


def specs(incomplete: str) -> list[str]:
    """Spec files, and names of shipped specs."""
    from rnnprop_cli.spec.shipped import shipped_specs

    return _offered(incomplete, lambda: _paths(incomplete, ".toml"), shipped_specs)


def shipped(incomplete: str) -> list[str]:
    """Names of shipped specs."""
    from rnnprop_cli.spec.shipped import shipped_specs

    return _offered(incomplete, shipped_specs)


def _offered(incomplete: str, *sources: Callable[[], Iterable[str]]) -> list[str]:
    """What begins as the word does, each once. Left out: what a source that fails would have given, and names that
    could move a terminal's cursor."""
    found: list[str] = []
    for find in sources:
        with suppress(Exception):
            found.extend(name for name in find() if name.startswith(incomplete) and name.isprintable())
    return list(dict.fromkeys(found))


def _experiments(ctx: typer.Context, kind: "Kind | None") -> list[str]:
    return [each.facts.name for reader in _readers(ctx) for each in reversed(reader.experiments(kind))]


def _readers(ctx: typer.Context) -> "Iterator[Reader]":
    from rnnprop_cli.cli.options import databases_of
    from rnnprop_cli.store.reader import Reader

    for path in databases_of(ctx.find_root().params.get("db_paths")):
        with Reader.open(path) as reader:
            yield reader


def _paths(incomplete: str, suffix: str) -> list[str]:
    """Files of that suffix and folders, as the word names them."""
    start = Path(incomplete).expanduser()
    folder = start if incomplete.endswith("/") else start.parent
    written = incomplete[: len(incomplete) - len(incomplete.rpartition("/")[2])]
    return [
        f"{written}{path.name}" + ("/" if path.is_dir() else "")
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and (path.is_dir() or path.suffix == suffix)
    ]
