"""What every command shares: global settings, two consoles, and how errors become messages and exit codes.

stdout carries data only; progress, warnings and errors go to stderr. Text that comes from a file, a database
or an exception goes through `safe_text` before it reaches a terminal.
"""

import codecs
import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from typer.core import TyperGroup

from rnnprop_cli import DEFAULT_DB
from rnnprop_cli.errors import IntegrityError, RnnpropError, SpecError, StoreError, UsageError
from rnnprop_cli.files.limits import TOO_MANY_OPEN, more_descriptors
from rnnprop_cli.naming import bytes_written_out, shell_line, shell_word
from rnnprop_cli.runs.interrupt import exit_code_of_signal, forget_dead_streams
from rnnprop_cli.view.safe_text import safe_text

EXIT_FAILED: Final = 1  # some cells failed, or a bug
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT
EXIT_CLOSED_PIPE: Final = 141  # 128 + SIGPIPE: whoever read stdout has gone, e.g. `| head`
# The first class that fits decides; every other RnnpropError is a run that failed.
EXIT_CODES: Final[tuple[tuple[type[RnnpropError], int], ...]] = (
    (UsageError, 2),
    (StoreError, 3),
    (IntegrityError, 4),
)


NARROWEST: Final = (
    20  # columns of a terminal; what says less, or 0, has no window yet or never will: docker, cron, ssh
)
WIDEST: Final = 1000  # more would only fill lines with blanks
_USUAL_WIDTH: Final = 80


class Color(StrEnum):
    """When output is coloured."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True)
class Settings:
    """The options that stand before the command."""

    databases: tuple[Path, ...] = (Path(DEFAULT_DB),)
    quiet: bool = False
    verbose: bool = False

    @property
    def db(self) -> Path:
        """The one database of a command that takes one.

        Raises:
            UsageError: several are named.
        """
        if len(self.databases) > 1:
            raise UsageError(
                f"--db names {len(self.databases)} databases, and only `report`, `tui` and `runs list|show|export` "
                "read several. Name one; `rnnprop db merge A.db B.db -o ALL.db` makes one of several."
            )
        return self.databases[0]

    @property
    def place(self) -> tuple[str, ...]:
        """The words that name the database in a command; none for the usual one."""
        if self.databases == (Path(DEFAULT_DB),):
            return ()
        return tuple(word for path in self.databases for word in ("--db", str(path)))


def settings(ctx: typer.Context) -> Settings:
    """The global settings of this call; the defaults where a command is run without the root (in tests)."""
    found = ctx.find_root().obj
    return found if isinstance(found, Settings) else Settings()


class _PipeConsole(Console):
    """A console that lets a closed pipe reach `ReportingGroup`; Rich's own way out is exit code 1."""

    def on_broken_pipe(self) -> None:
        """Called by Rich while it handles the BrokenPipeError."""
        raise


_color = Color.AUTO  # one process, one terminal: set once from --color, before any command runs


def use_color(color: Color) -> None:
    """Obey `--color` from here on, in the help text too."""
    global _color
    _color = color
    if color is Color.NEVER:
        os.environ["NO_COLOR"] = "1"  # Typer's help and child processes read it


_SPELLED_OUT: Final = {
    "±": "+-",
    "×": "x",
    "·": "-",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "∞": "inf",
    "≈": "~",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "●": "*",
    "▶": ">",
    "❱": ">",
    "•": "*",
}


def allow_narrow_encodings() -> None:
    """From here on what a stream's encoding lacks is spelled out, or a question mark, and never an error."""

    def spell_out(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        lacking = error.object[error.start : error.end]
        return "".join(_SPELLED_OUT.get(character, "?") for character in lacking), error.end

    codecs.register_error("rnnprop", spell_out)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="rnnprop")


def this_command() -> str:
    """The command line of this process, as a shell takes it."""
    return shell_line("rnnprop", *sys.argv[1:])


def stdout() -> Console:
    """Console for data. Plain by default: no markup, emoji or highlighting of what is printed."""
    return _console(stderr=False)


def stderr() -> Console:
    """Console for progress, warnings and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    options: dict[str, Any] = {"stderr": stderr, "markup": False, "emoji": False, "highlight": False}
    if _color is Color.NEVER:
        options |= {"color_system": None}
    elif _color is Color.ALWAYS:  # overrides NO_COLOR: a flag goes before a variable
        options |= {"force_terminal": True, "no_color": False}
        if not _PipeConsole(**options).color_system:
            options |= {"color_system": "standard"}
    console = _PipeConsole(**options)
    if not _is_sane(console.width):
        console.width = _USUAL_WIDTH if console.width < NARROWEST else WIDEST
    return console


def _is_sane(columns: int) -> bool:
    return NARROWEST <= columns <= WIDEST


def drop_absurd_width() -> None:
    """From here on COLUMNS holds for nobody where no terminal is of that width, nor for Typer's help a window's."""
    with contextlib.suppress(KeyError, ValueError):
        if not _is_sane(int(os.environ["COLUMNS"])):
            del os.environ["COLUMNS"]
    with contextlib.suppress(OSError):
        if not _is_sane(os.get_terminal_size(1).columns):
            os.environ.setdefault("TERMINAL_WIDTH", str(_USUAL_WIDTH))


def print_path(path: Path) -> None:
    """A path as data on stdout; one that is no text goes to a program as bytes, to a terminal as a shell takes it."""
    text = str(path)
    if text.isprintable():
        typer.echo(text)
    else:
        typer.echo(shell_word(text) if sys.stdout.isatty() else os.fsencode(text))


def exit_code(error: RnnpropError) -> int:
    """2 usage or spec, 3 storage, 4 integrity, else 1."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), EXIT_FAILED)


def show_error(error: Exception | str) -> None:
    """Print `error: message` on stderr, made safe, and unwrapped so that carets stay under their columns.

    A SpecError is printed as one such message for each of its problems.
    """
    console = stderr()
    for message in error.problems if isinstance(error, SpecError) else [str(error) or type(error).__name__]:
        console.print("error:", style="bold red", end=" ")
        console.print(safe_text(bytes_written_out(message), keep_newlines=True), soft_wrap=True)


class ReportingGroup(TyperGroup):
    """The root command: turns every exception into a message on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; raises only `typer.Exit` and Typer's own usage errors."""
        try:
            result = _invoked(super().invoke, ctx)
            if sys.stdout is not None:  # None where the shell has closed it
                sys.stdout.flush()  # here, where a failure can still be reported
            return result
        except BrokenPipeError:
            forget_dead_streams()
            raise typer.Exit(EXIT_CLOSED_PIPE) from None
        except KeyboardInterrupt:
            show_error("interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except RnnpropError as error:
            if settings(ctx).verbose:
                _show_traceback(error)
            show_error(error)
            raise typer.Exit(exit_code(error)) from None
        except OSError as error:  # the machine's fault: a full disk, a folder that may not be read
            if settings(ctx).verbose:
                _show_traceback(error)
            where = "" if error.filename is None else f": {error.filename}"
            remedy = f". {more_descriptors()}" if error.errno in TOO_MANY_OPEN else ""
            show_error(f"{error.strerror or error}{where}{remedy}")
            raise typer.Exit(EXIT_FAILED) from None
        except Exception as error:
            if _is_typers(error):
                raise
            if settings(ctx).verbose:
                _show_traceback(error)
            first_line = (str(error).splitlines() or ["(no message)"])[0]
            remedy = "" if settings(ctx).verbose else " (rnnprop -v ... shows where)"
            show_error(
                f"unexpected {type(error).__name__}: {first_line}{remedy}\n"
                "This is a fault of rnnprop: please report it with the output of `rnnprop doctor`."
            )
            raise typer.Exit(EXIT_FAILED) from None


def _invoked(command: Callable[[Any], Any], ctx: Any) -> Any:
    """What a command returns. An error after a signal that should have ended it is no error but that signal."""
    try:
        return command(ctx)
    except Exception:
        code = exit_code_of_signal()
        if code is None:
            raise
        raise typer.Exit(code) from None


def _is_typers(error: Exception) -> bool:
    """Whether Typer itself shows this error; its base class has moved between Typer's versions."""
    return isinstance(error, typer.Exit | typer.Abort) or (
        hasattr(error, "format_message") and hasattr(error, "exit_code")
    )


def _show_traceback(error: BaseException) -> None:
    text = "".join(traceback.format_exception(error)).rstrip()
    stderr().print(safe_text(text, keep_newlines=True), soft_wrap=True, style="dim")
