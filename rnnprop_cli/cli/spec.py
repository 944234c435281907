"""`rnnprop spec`: list those that come along, check, describe and start spec files."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnprop_cli.cli import completion
from rnnprop_cli.cli.console import settings, show_error, stderr, stdout
from rnnprop_cli.cli.options import JsonOption
from rnnprop_cli.errors import SpecError, suggested
from rnnprop_cli.naming import shell_word
from rnnprop_cli.view.safe_text import safe_text

if TYPE_CHECKING:
    from rnnprop_cli.spec.bench import BenchSpec
    from rnnprop_cli.spec.train import TrainSpec

app = typer.Typer(help="List, copy, check and start spec files.", no_args_is_help=True)


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


@app.command("list")
def list_(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show the specs that come with rnnprop: what each reproduces, its size, and about how long it takes here.

    `--spec NAME` runs one. The time is reckoned from the arithmetic; `bench --spec NAME --dry-run` measures.
    """
    from rnnprop_cli.cli.progress import duration
    from rnnprop_cli.runs.spec_list import list_shipped, work_rate

    found, rate = list_shipped(), work_rate()
    if as_json:
        rows = [{**vars(each), "seconds": each.flops / rate} for each in found]
        typer.echo(json.dumps({"specs": rows}, indent=2))
        return
    table = [
        (
            each.name,
            f"{each.size:,} {'cells' if each.kind == 'bench' else 'meta-iterations'}",
            "< 1 min" if each.flops / rate < 60 else f"~{duration(each.flops / rate)}",
            safe_text(each.description),
        )
        for each in sorted(found, key=lambda each: each.kind)
    ]
    name_width, size_width, time_width = (max(len(row[i]) for row in table) for i in range(3))
    for name, size, time, description in table:
        stdout().print(
            f"{name:<{name_width}}  {size:>{size_width}}  {time:>{time_width}}  {description}", soft_wrap=True
        )
    if not settings(ctx).quiet:
        stderr().print(
            "run one with `rnnprop bench --spec NAME` or `rnnprop train --spec NAME`; "
            "`rnnprop spec copy NAME` writes it here, to be changed",
            soft_wrap=True,
        )


@app.command()
def copy(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(help="A spec that comes with rnnprop.", autocompletion=completion.shipped),
    ],
    to: Annotated[
        Path | None, typer.Argument(metavar="TO", help="A new file, or a folder (default: this one).")
    ] = None,
) -> None:
    """Write a spec that comes with rnnprop to a file of your own. A file that exists is never overwritten."""
    from rnnprop_cli.files.writing import write_whole
    from rnnprop_cli.spec.shipped import find_shipped

    found = find_shipped(name)
    target = (to or Path()) / found.name if to is None or to.is_dir() else to
    write_whole(target, found.read_bytes(), database=settings(ctx).db)
    if not settings(ctx).quiet:
        kind = "train" if found.stem.startswith("train_") else "bench"
        run = suggested(kind, "--spec", target)
        stderr().print(f"wrote {shell_word(str(target))}; run it with: {run}", soft_wrap=True)


@app.command()
def check(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Spec files (TOML), or names of shipped ones.",
            autocompletion=completion.specs,
        ),
    ],
) -> None:
    """Say whether spec files are right; every mistake is shown with its line. Exits 2 if there is one."""
    from rnnprop_cli.spec.load import resolve
    from rnnprop_cli.spec.shipped import find_spec

    wrong = 0
    for file in files:
        try:
            resolved = resolve(find_spec(file))
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
            StarterKind.DATASET: f"python {shell_word(str(file))}",
        }[kind]
        word = "run" if kind is StarterKind.DATASET else "check"
        stderr().print(f"wrote {shell_word(str(file))}; {word} it with: {checked}", soft_wrap=True)


def _summary(spec: "BenchSpec | TrainSpec") -> str:
    from rnnprop_cli.records import with_activation
    from rnnprop_cli.spec.bench import BenchSpec

    if isinstance(spec, BenchSpec):
        return (
            f"bench '{spec.name}': {_count(len(spec.optimizees), 'optimizee')} x "
            f"{_count(len(spec.horizon), 'horizon')} x {_count(len(spec.optimizers), 'optimizer')} x "
            f"{_count(spec.seeds, 'seed')}"
        )
    return (
        f"train '{spec.name}': {spec.optimizer.name} on {with_activation(spec.trained_on, spec.activation)}, "
        f"{_count(spec.meta_iterations, 'meta-iteration')}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
