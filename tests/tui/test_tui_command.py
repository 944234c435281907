import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from rnnprop_cli.cli.tui import tui
from rnnprop_cli.errors import UsageError


@pytest.fixture
def app():
    app = typer.Typer()
    app.command()(tui)
    return app


def test_without_a_terminal_it_says_what_to_use_instead(app):
    with pytest.raises(UsageError, match="needs a terminal"):
        CliRunner().invoke(app, [], catch_exceptions=False)


def test_help_names_the_options(app):
    text = CliRunner().invoke(app, ["--help"], env={"NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb"}).stdout
    for option in ("--fps", "--charset", "--theme"):
        assert option in text


def test_the_app_never_loads_torch():
    code = "import sys, rnnprop_cli.tui.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
