"""`rnnprop spec`: check, describe and start spec files."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnprop_cli.cli.console import settings, show_error, stderr, stdout
from rnnprop_cli.errors import SpecError, suggested
from rnnprop_cli.view.safe_text import safe_text

if TYPE_CHECKING:
    from rnnprop_cli.spec.bench import BenchSpec
    from rnnprop_cli.spec.train import TrainSpec

app = typer.Typer(help="Check spec files, and write new ones.", no_args_is_help=True)


class Kind(StrEnum):
    """What a spec describes."""

    BENCH = "bench"
    TRAIN = "train"


@app.command()
def check(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Spec files (TOML).")],
) -> None:
    """Say whether spec files are right; every mistake is shown with its line. Exits 2 if there is one."""
    from rnnprop_cli.spec.load import resolve

    wrong = 0
    for file in files:
        try:
            resolved = resolve(file)
        except SpecError as error:
            wrong += 1
            show_error(error)
        else:
            if not settings(ctx).quiet:
                stdout().print(f"{safe_text(str(file))}: ok - {_summary(resolved.spec)}", soft_wrap=True)
    if wrong:
        if len(files) > 1:
            stderr().print(f"{wrong} of {len(files)} files have mistakes")
        raise typer.Exit(2)


@app.command()
def schema(kind: Annotated[Kind, typer.Argument(help="Which kind of spec.")] = Kind.BENCH) -> None:
    """Print the JSON schema of a spec, for editors that complete and check TOML."""
    from rnnprop_cli.spec.starters import json_schema

    typer.echo(json.dumps(json_schema(kind.value), indent=2))


@app.command()
def init(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="Which kind of spec.")] = Kind.BENCH,
    file: Annotated[Path | None, typer.Argument(help="Where to write it; stdout if absent.")] = None,
) -> None:
    """Write a commented spec to start from. A file that exists is never overwritten."""
    from rnnprop_cli.files.writing import write_whole
    from rnnprop_cli.spec.starters import STARTERS

    if file is None:
        typer.echo(STARTERS[kind.value], nl=False)
        return
    write_whole(file, STARTERS[kind.value], database=settings(ctx).db)
    if not settings(ctx).quiet:
        stderr().print(
            f"wrote {safe_text(str(file))}; check it with: {safe_text(suggested('spec', 'check', file))}",
            soft_wrap=True,
        )


def _summary(spec: "BenchSpec | TrainSpec") -> str:
    from rnnprop_cli.spec.bench import BenchSpec

    if isinstance(spec, BenchSpec):
        return (
            f"bench '{spec.name}': {_count(len(spec.optimizees), 'optimizee')} x "
            f"{_count(len(spec.horizon), 'horizon')} x {_count(len(spec.optimizers), 'optimizer')} x "
            f"{_count(spec.seeds, 'seed')}"
        )
    return (
        f"train '{spec.name}': {spec.optimizer.name} on {spec.trained_on}, "
        f"{_count(spec.meta_iterations, 'meta-iteration')}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
