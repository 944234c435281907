"""The root command: options, exit codes, and messages that are safe to show."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rnnprop_cli import __version__
from rnnprop_cli.cli import console
from rnnprop_cli.cli.app import app
from rnnprop_cli.errors import (
    CheckpointError,
    DataError,
    DeviceError,
    IntegrityError,
    RnnpropError,
    RunError,
    SpecError,
    StoreError,
    UsageError,
)

runner = CliRunner()


@pytest.fixture(autouse=True)
def _plain_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_color", console.Color.AUTO)
    monkeypatch.setenv("NO_COLOR", "")  # restored after the test, whatever --color never does


def _program(body: str) -> typer.Typer:
    """A root command with one subcommand `go` that runs `body`."""
    program = typer.Typer(cls=console.ReportingGroup, pretty_exceptions_enable=False)
    scope: dict[str, object] = {}
    exec(textwrap.dedent(body), scope)

    @program.callback()
    def root(ctx: typer.Context, verbose: bool = False) -> None:
        ctx.obj = console.Settings(verbose=verbose)

    program.command("go")(scope["go"])  # type: ignore[arg-type]
    return program


def _raising(error: BaseException) -> typer.Typer:
    program = _program("def go(): raise error")
    program.registered_commands[0].callback.__globals__["error"] = error  # type: ignore[union-attr]
    return program


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RnnpropError("x"), 1),
        (RunError("x"), 1),
        (UsageError("x"), 2),
        (SpecError(["x"]), 2),
        (DeviceError("x"), 2),
        (StoreError("x"), 3),
        (IntegrityError("x"), 4),
        (DataError("x"), 4),
        (CheckpointError("x"), 4),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (ZeroDivisionError("x"), 1),
        (PermissionError(13, "Permission denied", "results"), 1),
    ],
)
def test_every_error_has_its_exit_code_and_no_traceback(error: BaseException, code: int) -> None:
    result = runner.invoke(_raising(error), ["go"])
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_unexpected_error_says_where_to_report_and_verbose_shows_the_traceback() -> None:
    program = _raising(ZeroDivisionError("by zero"))
    short = runner.invoke(program, ["go"])
    assert "unexpected ZeroDivisionError: by zero" in short.stderr
    assert "rnnprop doctor" in short.stderr
    assert "Traceback" in runner.invoke(program, ["--verbose", "go"]).stderr


def test_messages_cannot_send_escape_sequences_to_the_terminal() -> None:
    error = RunError("name \x1b]52;c;aGVsbG8=\x07 and \x9b31m and \x00\nsecond line")
    result = runner.invoke(_raising(error), ["go"])
    assert not [c for c in result.output if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F]
    assert "second line" in result.output


@pytest.mark.parametrize("argument", ["\x1b]52;c;aGVsbG8=\x07", "--\x1b[31mred"])
def test_misspelt_arguments_cannot_send_escape_sequences(argument: str) -> None:
    result = runner.invoke(app, [argument])
    assert result.exit_code == 2
    assert not [c for c in result.output if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F]


def test_markup_in_a_message_is_text() -> None:
    result = runner.invoke(_raising(RunError("see [bold]this[/bold] :smile:")), ["go"])
    assert "see [bold]this[/bold] :smile:" in result.stderr


def test_version() -> None:
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"rnnprop {__version__}\n")


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["--color", "sometimes"], []])
def test_bad_usage_exits_2(arguments: list[str]) -> None:
    assert runner.invoke(app, arguments).exit_code == 2


def test_a_misspelt_command_is_answered_with_a_suggestion() -> None:
    assert "doctor" in runner.invoke(app, ["docter"]).output


def _help_paths() -> list[list[str]]:
    group = typer.main.get_command(app)
    paths: list[list[str]] = [[]]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        paths.append([name])
        paths += [[name, child] for child in getattr(command, "commands", {})]
    return paths


@pytest.mark.parametrize("path", _help_paths(), ids=" ".join)
def test_every_command_has_help(path: list[str]) -> None:
    result = runner.invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    about = result.stdout.split("Usage:")[1].split("╭")[0].strip().splitlines()[1:]
    assert any(line.strip() for line in about), "no description below the usage line"


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ([], {}, ["results/rnnprop.db"]),
        ([], {"RNNPROP_DB": "a.db"}, ["a.db"]),
        (["--db", "b.db"], {"RNNPROP_DB": "a.db"}, ["b.db"]),
        (["--db", "b.db", "--db", "c.db"], {"RNNPROP_DB": "a.db"}, ["b.db", "c.db"]),
    ],
)
def test_flag_goes_before_variable_before_default(
    arguments: list[str], environment: dict[str, str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RNNPROP_DB", raising=False)
    seen: list[console.Settings] = []
    probe = typer.Typer(cls=console.ReportingGroup)
    probe.callback()(app.registered_callback.callback)  # type: ignore[union-attr, arg-type]

    @probe.command("go")
    def go(ctx: typer.Context) -> None:
        seen.append(console.settings(ctx))

    runner.invoke(probe, [*arguments, "go"], env=environment)
    assert seen == [console.Settings(databases=tuple(map(Path, expected)))]


@pytest.mark.parametrize(("choice", "coloured"), [("always", True), ("never", False), ("auto", False)])
def test_color_is_obeyed_off_a_terminal(
    choice: str, coloured: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    console.use_color(console.Color(choice))
    console.stdout().print("x", style="bold red")
    assert ("\x1b[" in capsys.readouterr().out) is coloured


def test_color_always_goes_before_no_color(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console.use_color(console.Color.ALWAYS)
    console.stdout().print("x", style="red")
    assert "\x1b[31m" in capsys.readouterr().out


def test_a_closed_pipe_is_no_error_message() -> None:
    script = f"{sys.executable} -m rnnprop_cli --help | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert result.stdout.strip() in {"0", "1", "141"}
    assert result.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize(
    ("redirection", "message"), [(">/dev/full", "error: No space left on device\n"), (">&-", "")]
)
def test_stdout_that_takes_nothing_is_no_fault_of_rnnprop(redirection: str, message: str) -> None:
    script = f"{sys.executable} -m rnnprop_cli data list {redirection}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, result.stderr) == (1 if message else 0, message)


def test_sigterm_exits_143() -> None:
    script = (
        "import os, signal, rnnprop_cli.__main__ as m, rnnprop_cli.cli.app as a\n"
        "@a.app.command('wait')\n"
        "def wait():\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "import sys; sys.argv = ['rnnprop', 'wait']; m.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=30, env={**os.environ}, check=False
    )
    assert result.returncode == 128 + signal.SIGTERM
