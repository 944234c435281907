"""The command line: global options and the table of commands.

Modules named here import what is heavy inside their commands, so that `rnnprop --help` stays quick.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rnnprop_cli import __version__
from rnnprop_cli.cli.console import DEFAULT_DB, Color, ReportingGroup, Settings, use_color

app = typer.Typer(
    cls=ReportingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # ReportingGroup speaks
    context_settings={"help_option_names": ["-h", "--help"]},
)

MEASURE: Final = "Train and measure"
LOOK: Final = "Look at results"
PREPARE: Final = "Prepare and check"


@dataclass(frozen=True)
class _Command:
    name: str  # also the module in rnnprop_cli.cli
    attribute: str  # "app" for a group of commands, else the function
    panel: str


COMMANDS: Final = (
    _Command("train", "train", MEASURE),
    _Command("bench", "bench", MEASURE),
    _Command("report", "report", LOOK),
    _Command("tui", "tui", LOOK),
    _Command("runs", "app", LOOK),
    _Command("spec", "app", PREPARE),
    _Command("data", "app", PREPARE),
    _Command("weights", "app", PREPARE),
    _Command("db", "app", PREPARE),
    _Command("doctor", "doctor", PREPARE),
)


def _register(command: _Command) -> None:
    module = f"rnnprop_cli.cli.{command.name}"
    if importlib.util.find_spec(module) is None:
        return  # not written yet
    target: Any = getattr(importlib.import_module(module), command.attribute)
    if isinstance(target, typer.Typer):
        app.add_typer(target, name=command.name, rich_help_panel=command.panel)
    else:
        app.command(command.name, rich_help_panel=command.panel)(target)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rnnprop {__version__}")
        raise typer.Exit


def _choose_color(value: Color) -> Color:
    use_color(value)
    return value


@app.callback()
def root(
    ctx: typer.Context,
    db: Annotated[
        Path, typer.Option("--db", metavar="PATH", envvar="RNNPROP_DB", help="Database of all runs.")
    ] = DEFAULT_DB,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", envvar="RNNPROP_QUIET", help="Only data and errors.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", envvar="RNNPROP_VERBOSE", help="More detail; tracebacks.")
    ] = False,
    color: Annotated[
        Color,
        typer.Option(
            "--color",
            envvar="RNNPROP_COLOR",
            is_eager=True,  # so that the help text obeys it
            callback=_choose_color,
            help="When to use colour.",
        ),
    ] = Color.AUTO,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """Meta-train learned optimizers and measure them honestly against tuned classical ones."""
    ctx.obj = Settings(db=db, quiet=quiet, verbose=verbose)


for _command in COMMANDS:
    _register(_command)
