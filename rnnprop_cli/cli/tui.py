"""`rnnprop tui`: the terminal app."""

from enum import StrEnum
from typing import Annotated

import typer

from rnnprop_cli.cli.console import settings


class Characters(StrEnum):
    """What the terminal's font can show."""

    BRAILLE = "braille"
    BLOCK = "block"
    ASCII = "ascii"


class Theme(StrEnum):
    """Colours."""

    DARK = "dark"
    LIGHT = "light"
    HIGH_CONTRAST = "high-contrast"
    COLOUR_BLIND = "colour-blind"
    COLOUR_BLIND_LIGHT = "colour-blind-light"


def tui(
    ctx: typer.Context,
    fps: Annotated[
        float,
        typer.Option(
            "--fps", min=0.2, max=10, envvar="RNNPROP_FPS", help="Most redraws a second while runs go on."
        ),
    ] = 3.0,
    charset: Annotated[
        Characters | None,
        typer.Option(
            "--charset",
            envvar="RNNPROP_CHARSET",
            help="Characters of the plots (default: braille, ascii where the locale is not UTF-8).",
        ),
    ] = None,
    theme: Annotated[Theme, typer.Option("--theme", envvar="RNNPROP_THEME", help="Colours.")] = Theme.DARK,
) -> None:
    """Watch runs live and compare them with their tuned baselines, in the terminal. Only reads.

    Several databases (`--db` more than once) are watched as one; what is started from here writes to the first.
    """
    import locale
    import sys

    from rnnprop_cli.errors import UsageError
    from rnnprop_cli.runs.interrupt import unwind_if_asked

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        # Textual draws on stderr; with that in a file one would look at an empty terminal.
        raise UsageError(
            "tui needs a terminal on stdin and stderr. `rnnprop report` and `rnnprop runs` print the same numbers."
        )
    from rnnprop_cli.tui.app import RnnpropApp
    from rnnprop_cli.tui.plot import Charset
    from rnnprop_cli.tui.terminal import terminal_restored

    if charset is None:
        utf8 = locale.getpreferredencoding(False).lower().replace("-", "") == "utf8"
        charset = Characters.BRAILLE if utf8 else Characters.ASCII
    database, *more = settings(ctx).databases
    app = RnnpropApp(database, more=more, fps=fps, charset=Charset(charset.value), theme=theme.value)
    unwind_if_asked()
    with terminal_restored(app) as ending:
        app.run()
    # After an exception Textual returns as if nothing had happened.
    raise typer.Exit(ending.exit_code or app.return_code or 0)
