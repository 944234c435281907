"""`rnnprop spec`: check, describe and start spec files."""

import json
import shlex
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


class StarterKind(StrEnum):
    """What can be started with."""

    BENCH = "bench"
    TRAIN = "train"
    OPTIMIZEE = "optimizee"
    OPTIMIZER = "optimizer"
    ARCHITECTURE = "architecture"
    DATASET = "dataset"


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
    kind: Annotated[
        StarterKind, typer.Argument(help="A kind of spec, or of code to use in one.")
    ] = StarterKind.BENCH,
    file: Annotated[Path | None, typer.Argument(help="Where to write it; stdout if absent.")] = None,
) -> None:
    """Write a commented file to start from: a spec, or code of your own to use in one. Never overwrites a file."""
    from rnnprop_cli.files.writing import write_whole
    from rnnprop_cli.spec.starters import starter

    if file is None:
        typer.echo(starter(kind.value), nl=False)
        return
    write_whole(file, starter(kind.value), database=settings(ctx).db)
    if not settings(ctx).quiet:
        checked = {
            StarterKind.BENCH: suggested("spec", "check", file),
            StarterKind.TRAIN: suggested("spec", "check", file),
            StarterKind.OPTIMIZEE: suggested("plugin", "check", f"{file}:Rings"),
            StarterKind.OPTIMIZER: suggested("plugin", "check", f"{file}:SignMomentum"),
            StarterKind.ARCHITECTURE: suggested("plugin", "check", f"{file}:MLPOptimizer"),
            StarterKind.DATASET: f"python {shlex.quote(str(file))}",
        }[kind]
        word = "run" if kind is StarterKind.DATASET else "check"
        stderr().print(f"wrote {safe_text(str(file))}; {word} it with: {safe_text(checked)}", soft_wrap=True)


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
