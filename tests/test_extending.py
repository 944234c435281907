"""The worked examples of docs/extending.md do what the page says."""

import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest
from installed import install
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.components import plugins

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = {
    title: body
    for title, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    if "```sh" in body
}
# Enough to see that it works: the page's searches take minutes.
SMALL = "[tuning]\nseeds = 2\npoints = 3\nmax_rounds = 1\nconfirm_seeds = false\n"


def test_there_are_five_examples() -> None:
    assert list(SECTIONS) == ["A network", "An optimizer", "A learned optimizer", "Data", "Data of a package"]


@pytest.mark.parametrize("title", SECTIONS)
def test_an_example_works(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind, name, text in re.findall(r"```(python|toml)\n# (\S+)\n(.*?)```", SECTIONS[title], re.DOTALL):
        bench = kind == "toml" and "[[optimizers]]" in text
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(f"calibrated = false\nuntuned = false\n{text}{SMALL}" if bench else text)
    (commands,) = re.findall(r"```sh\n(.*?)```", SECTIONS[title], re.DOTALL)
    try:
        for line in commands.splitlines():
            program, *arguments = shlex.split(line)
            if program == "python":
                runpy.run_path(arguments[0])
                continue
            if program == "pip":
                assert arguments == ["install", "."]
                project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
                install(monkeypatch, tmp_path, project["name"], project["version"], project["entry-points"])
                continue
            result = CliRunner().invoke(app, ["--quiet", *arguments])
            assert result.exit_code == 0, f"{line}\n{result.output}{result.exception!r}"
    finally:
        plugins.allow_code(False)
