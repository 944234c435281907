"""Real machines: absurd widths, narrow encodings, a notebook's matplotlib, `~` in a variable, odd names of files."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from stored_bench import store_bench
from typer.main import get_command
from typer.testing import CliRunner

import rnnprop_cli
from rnnprop_cli.cli import console, options
from rnnprop_cli.cli.app import app
from rnnprop_cli.files.variables import path_variable
from rnnprop_cli.naming import bytes_written_out, shell_line, shell_word

ROOT = Path(rnnprop_cli.__file__).parents[1]
runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path


def run(folder: Path, *arguments: str | bytes, **changes: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **changes}
    command = [sys.executable, "-m", "rnnprop_cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True)


@pytest.mark.parametrize("columns", ["0", "3", "1000000", "-5", "wide"])
def test_an_absurd_width_is_none(columns: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_bench(Path("a.db"))
    usual = runner.invoke(app, ["--db", "a.db", "report", "demo"]).stdout
    monkeypatch.setenv("COLUMNS", columns)
    console.drop_absurd_width()
    assert runner.invoke(app, ["--db", "a.db", "report", "demo"]).stdout == usual
    helped = runner.invoke(app, ["report", "--help"]).stdout
    assert "Show benchmarks" in helped
    assert max(map(len, helped.splitlines())) == 80


def test_a_window_without_width_shows_all_and_the_help(folder: Path) -> None:
    store_bench(Path("a.db"))
    for columns in (0, 1):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 0, columns, 0, 0))
        command = [sys.executable, "-m", "rnnprop_cli", "--db", "a.db", "runs", "list"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, stdin=slave, stdout=slave, stderr=slave, env=environment, check=True)
        shown = os.read(master, 65536).decode()
        os.close(master)
        os.close(slave)
        assert "demo" in shown
        assert "3 diverged, 6 done, 3 failed" in shown


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}])
def test_under_the_c_locale_nothing_is_cut(folder: Path, locale: dict[str, str]) -> None:
    store_bench(Path("a.db"))
    plain = run(folder, "--db", "a.db", "report", "demo", PYTHONIOENCODING="utf-8").stdout.decode()
    narrow = run(folder, "--db", "a.db", "report", "demo", **locale, PYTHONCOERCECLOCALE="0").stdout
    words = plain.replace("±", "+-").replace("·", "-").replace("\N{REPLACEMENT CHARACTER}", "?").split()
    kept = [word for word in words if not set(word) <= set("─")]
    shown = narrow.decode("utf-8").replace("±", "+-").replace("·", "-")
    shown = shown.replace("\N{REPLACEMENT CHARACTER}", "?").replace("|", " ")
    assert [word for word in shown.split() if not set(word) <= set("─-+")] == [
        word for word in kept if not set(word) <= set("-+")
    ]


def test_a_command_with_homes_is_given_no_tilde(folder: Path) -> None:
    seen = []

    def command(one: Path, several: list[Path], text: str, nothing: Path | None) -> None:
        seen.append((one, several, text, nothing))

    options.with_homes(command)(one=Path("~/x"), several=[Path("~/y"), Path("z")], text="~/t", nothing=None)
    home = folder / "home"
    assert seen == [(home / "x", [home / "y", Path("z")], "~/t", None)]


def test_every_command_is_registered_with_homes() -> None:
    def commands(group: object) -> list[object]:
        return [
            leaf
            for each in getattr(group, "commands", {}).values()
            for leaf in (commands(each) if hasattr(each, "commands") else [each])
        ]

    leaves = commands(get_command(app))
    assert len(leaves) > 15
    for each in leaves:
        # Typer wraps what we register, and each wrapper knows what it wraps
        chain, callback = [], each.callback  # type: ignore[attr-defined]
        while callback is not None:
            chain.append(callback.__code__)
            callback = getattr(callback, "__wrapped__", None)
        inner = options.with_homes(lambda: None).__code__
        assert inner in chain, each


def test_a_tilde_that_no_shell_expanded_is_a_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / "home"
    store_bench(home / "a.db")
    assert runner.invoke(app, ["--db=~/a.db", "report", "-f", "csv", "--output=~/out.csv"]).exit_code == 0
    assert (home / "out.csv").exists()
    monkeypatch.setenv("RNNPROP_DB", "~/a.db")
    assert runner.invoke(app, ["db", "path"]).stdout == f"{home / 'a.db'}\n"
    monkeypatch.setenv("RNNPROP_DATA_DIR", "~/data")
    assert path_variable("RNNPROP_DATA_DIR") == home / "data"


def test_a_home_of_nobody_is_named_with_its_option(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_bench(Path("a.db"))
    refused = runner.invoke(app, ["--db", "a.db", "report", "--output=~nobody-here/x"])
    assert refused.exit_code == 2
    assert "--output ~nobody-here/x: there is no such user" in refused.stderr
    monkeypatch.setenv("RNNPROP_DB", "~nobody-here/x")
    refused = runner.invoke(app, ["runs", "list"])
    assert refused.exit_code == 2
    assert "RNNPROP_DB ~nobody-here/x: there is no such user" in refused.stderr


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are text there")
def test_a_path_that_is_no_text_can_be_pasted(folder: Path) -> None:
    store_bench(Path("a.db"))
    odd = b"caf\xe9 \x1b[31m.db"
    Path("a.db").rename(os.fsdecode(odd))
    path = run(folder, b"--db", odd, "db", "path").stdout
    assert path == os.fsencode(folder.resolve()) + b"/" + odd + b"\n"  # into a pipe: the bytes
    refused = run(folder, b"--db", b"\xe9.db", "runs", "list")
    assert refused.returncode == 3
    assert refused.stderr.startswith(b"error: \\xe9.db: there is no database")
    backup = run(folder, b"--db", odd, "-v", "report", "-f", "csv", "-o", b"out\xe9.csv")
    wrote = [line for line in backup.stderr.decode().splitlines() if line.startswith("wrote ")]
    assert wrote == [r"wrote $'out\xe9.csv'"]
    found = subprocess.run(["bash", "-c", f"test -f {wrote[0][6:]}"], cwd=folder)
    assert found.returncode == 0


@pytest.mark.parametrize(
    "word",
    ["plain", "two words", "it's", "caf\udce9", "\x1bc\x9b1", "a\\b\n'c\udcff0", "\u202efdp", "$(id)", "é"],
)
def test_every_word_comes_back_from_a_shell(word: str) -> None:
    line = shell_line("printf", "%s", word)
    assert line.isprintable()
    shown = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert shown == word.encode("utf-8", "surrogateescape")


def test_in_a_message_only_bytes_that_are_no_text_are_written_out() -> None:
    assert bytes_written_out("caf\udce9 é\n") == "caf\\xe9 é\n"
    assert shell_word("a b") == "'a b'"


PLOT = """
import sys
from pathlib import Path
from rnnprop_cli.cli.app import app
sys.argv = ["rnnprop", "--db", "a.db", "-q", "report", "-f", "csv", "--plots", sys.argv[1]]
app()
"""


def test_a_notebooks_backend_and_a_matplotlibrc_change_no_byte_of_a_figure(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    store_bench(Path("a.db"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PLOT]
    subprocess.run([*command, "plain"], env=environment, check=True, capture_output=True)
    Path("matplotlibrc").write_text("figure.facecolor: black\ntext.usetex: True\nlines.linewidth: 9\n")
    environment |= {"MPLBACKEND": "nonsense"}
    subprocess.run([*command, "odd"], env=environment, check=True, capture_output=True)
    written = sorted(path.name for path in Path("plain").iterdir())
    assert written
    for name in written:
        assert Path("plain", name).read_bytes() == Path("odd", name).read_bytes(), name
