"""`rnnprop plugin`: code of one's own in a benchmark, checked and listed."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnprop_cli.cli.console import EXIT_FAILED, settings, stdout
from rnnprop_cli.cli.options import DataDirOption, JsonOption
from rnnprop_cli.errors import SpecError, UsageError
from rnnprop_cli.view.safe_text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rnnprop_cli.components.conformance import Check
    from rnnprop_cli.components.learned.outside import OutsideSpec
    from rnnprop_cli.components.plugins import Code

app = typer.Typer(help="Check and list code of your own.", no_args_is_help=True)

GROUPS = ("optimizees", "optimizers", "architectures", "datasets")


class Kind(StrEnum):
    """What code can be used as."""

    OPTIMIZEE = "optimizee"
    OPTIMIZER = "optimizer"
    ARCHITECTURE = "architecture"
    DATASET = "dataset"


@app.command()
def check(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="my_net.py:TwoLayer or package.module:Name.")
    ],
    kind: Annotated[
        Kind | None,
        typer.Option("--kind", help="What it is to be used as; default: what its class looks like."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An argument of the class (TOML value)."),
    ] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="For a module that names none.")] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import a class, which runs with your rights, and hold it to what a benchmark expects. Exits 1 where it fails."""
    from rnnprop_cli.components.plugins import allow_code

    allow_code()  # whoever names it on the command line wants it to run
    code, arguments = _code(source), _arguments(set_ or [])
    chosen = kind or _looks_like(code)
    checks = list(_checks(chosen, code, arguments, dataset, data_dir))
    wrong = [each for each in checks if each.wrong is not None]
    if as_json:
        rows = [{"check": each.name, "holds": each.wrong is None, "wrong": each.wrong} for each in checks]
        typer.echo(json.dumps({"source": code.source, "kind": chosen.value, "checks": rows}, indent=2))
    elif not settings(ctx).quiet:
        about = f"sha256 {code.sha256[:16]}" if code.sha256 else code.package
        stdout().print(f"{safe_text(code.source)}: {chosen.value}, {about}", soft_wrap=True)
        for each in checks:
            line = f"  ok     {each.name}" if each.wrong is None else f"  WRONG  {each.name}: {each.wrong}"
            stdout().print(safe_text(line), soft_wrap=True)
    if wrong:
        raise typer.Exit(EXIT_FAILED)


@app.command(name="list")
def list_(as_json: JsonOption = False) -> None:
    """What installed packages offer by entry points, beside the built-in kinds; imports none of it."""
    from rnnprop_cli.components.datasets import sources
    from rnnprop_cli.components.learned import ARCHITECTURES
    from rnnprop_cli.components.optimizees import OPTIMIZEES
    from rnnprop_cli.components.optimizers import OPTIMIZERS
    from rnnprop_cli.components.plugins import entry_point, entry_point_names

    built_in = dict(zip(GROUPS, map(list, (OPTIMIZEES, OPTIMIZERS, ARCHITECTURES, sources())), strict=True))
    offered = {
        group: {name: entry_point(group, name) for name in entry_point_names(group)} for group in GROUPS
    }
    if as_json:
        typer.echo(json.dumps({"built_in": built_in, "installed": offered}, indent=2))
        return
    for group in GROUPS:
        stdout().print(f"{group}: {', '.join(built_in[group])}", soft_wrap=True)
        for name, found in offered[group].items():
            stdout().print(safe_text(f"  {name}  {found}"), soft_wrap=True)


def _code(source: str) -> "Code":
    from pydantic import TypeAdapter, ValidationError

    from rnnprop_cli.components.plugins import FOLDER, CodeSource

    adapter: Any = TypeAdapter(CodeSource)
    try:
        code: Code = adapter.validate_python(source, context={FOLDER: Path()})
    except ValidationError as error:
        raise UsageError(f"{source}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return code


def _arguments(typed: list[str]) -> dict[str, Any]:
    from rnnprop_cli.spec.overrides import apply_override, parse_override

    arguments: dict[str, Any] = {}
    for each in typed:
        arguments = apply_override(arguments, parse_override(each))
    return arguments


def _looks_like(code: "Code") -> Kind:
    import torch

    found = code.load()
    if isinstance(found, type) and issubclass(found, torch.nn.Module):
        return Kind.OPTIMIZEE
    if isinstance(found, type) and issubclass(found, torch.optim.Optimizer):
        return Kind.OPTIMIZER
    if hasattr(found, "named_shapes"):
        return Kind.ARCHITECTURE
    raise UsageError(
        f"{code.source}: is no torch.nn.Module, no torch.optim.Optimizer and no learned architecture (named_shapes, "
        "init, step): say what it is with --kind (a function that gives a dataset: --kind dataset)"
    )


def _checks(
    kind: Kind, code: "Code", arguments: dict[str, Any], dataset: str | None, data_dir: Path | None
) -> "Iterator[Check]":
    from pydantic import ValidationError

    from rnnprop_cli.components.conformance import check_dataset, check_optimizee, check_optimizer
    from rnnprop_cli.components.datasets import load_dataset
    from rnnprop_cli.components.learned.outside import OutsideSpec
    from rnnprop_cli.components.optimizees.module import ModuleSpec
    from rnnprop_cli.components.optimizers.torch_any import TorchSpec

    named = {"source": code, "settings": arguments}
    try:
        if kind is Kind.OPTIMIZEE:
            data = None if dataset is None else load_dataset(dataset, data_dir)
            yield from check_optimizee(ModuleSpec.model_validate({**named, "dataset": dataset}), data)
        elif kind is Kind.OPTIMIZER:
            yield from check_optimizer(TorchSpec.model_validate(named))
        elif kind is Kind.DATASET:
            yield from check_dataset(code)
        else:
            yield _trainable(OutsideSpec.model_validate(named))
    except ValidationError as error:
        raise SpecError([each["msg"].removeprefix("Value error, ") for each in error.errors()]) from None


def _trainable(spec: "OutsideSpec") -> "Check":
    from rnnprop_cli.components.conformance import Check
    from rnnprop_cli.errors import CodeError
    from rnnprop_cli.meta.soundness import check_architecture

    what = "its steps are finite, differentiable in the meta-params, alike every time, and cells do not touch"
    try:
        check_architecture(spec.build(), spec.source.source, spec.alpha)
    except CodeError as error:
        return Check(what, str(error))
    return Check(what, None)
