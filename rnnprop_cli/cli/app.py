"""The command line: global options and the table of commands.

Modules named here import what is heavy inside their commands, so that `rnnprop --help` stays quick.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from rnnprop_cli import DATABASE_VARIABLE, DEFAULT_DB, __version__
from rnnprop_cli.cli import data, db, plugin, runs, spec, weights
from rnnprop_cli.cli.bench import bench
from rnnprop_cli.cli.console import Color, ReportingGroup, Settings, use_color
from rnnprop_cli.cli.doctor import doctor
from rnnprop_cli.cli.options import databases_of, with_homes
from rnnprop_cli.cli.report import report
from rnnprop_cli.cli.train import train
from rnnprop_cli.cli.tui import tui

app = typer.Typer(
    cls=ReportingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # ReportingGroup speaks
    context_settings={"help_option_names": ["-h", "--help"]},
)

MEASURE: Final = "Train and measure"
LOOK: Final = "Look at results"
PREPARE: Final = "Prepare and check"


# name, panel of the help text, and a function or a group of commands
COMMANDS: Final[tuple[tuple[str, str, Callable[..., None] | typer.Typer], ...]] = (
    ("train", MEASURE, train),
    ("bench", MEASURE, bench),
    ("report", LOOK, report),
    ("tui", LOOK, tui),
    ("runs", LOOK, runs.app),
    ("spec", PREPARE, spec.app),
    ("plugin", PREPARE, plugin.app),
    ("data", PREPARE, data.app),
    ("weights", PREPARE, weights.app),
    ("db", PREPARE, db.app),
    ("doctor", PREPARE, doctor),
)


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
    db_paths: Annotated[
        list[Path] | None,
        typer.Option(
            "--db",
            metavar="PATH",
            help="Database of all runs; more than once: several, to look at. "
            rf"\[env var: {DATABASE_VARIABLE}; default: {DEFAULT_DB}]",
        ),
    ] = None,
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
    ctx.obj = Settings(databases=databases_of(db_paths), quiet=quiet, verbose=verbose)


for _name, _panel, _target in COMMANDS:
    if isinstance(_target, typer.Typer):
        for _command in _target.registered_commands:
            assert _command.callback is not None
            _command.callback = with_homes(_command.callback)
        app.add_typer(_target, name=_name, rich_help_panel=_panel)
    else:
        app.command(_name, rich_help_panel=_panel)(with_homes(_target))
