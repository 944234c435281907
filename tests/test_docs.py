"""What README says exists, exists; what exists, README says."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnnprop_cli.cli.app import COMMANDS, app
from rnnprop_cli.spec.load import load_bench

ROOT = Path(__file__).parent.parent
# Without the tables of results, in which optimizers have names such as "rnnprop tuned".
README = re.sub(
    r"<!-- table.*?<!-- end -->", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL
)
NAMES = [name for name, *_ in COMMANDS]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_and_is_in_the_readme(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f"rnnprop {name}" in README


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(
        re.findall(r"rnnprop(?: --?\w+(?:[ =]\S+)?)? ([a-z]+)\b", " ".join(re.findall(r"`([^`]+)`", README)))
    )
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL):
        named |= set(re.findall(r"^rnnprop ([a-z]+)", block, flags=re.MULTILINE))
    assert named <= set(NAMES)


def test_the_readme_names_every_spec_and_no_other() -> None:
    there = {path.name for path in (ROOT / "bench_specs").glob("*.toml")}
    section = README.split("### The experiments of the paper")[1].split("## ")[0]
    assert set(re.findall(r"`(\w+\.toml)`", section)) == there


def test_the_readmes_benchmark_loads(tmp_path: Path) -> None:
    block, _ = re.findall(
        r"```toml\n(.*?)```", README, flags=re.DOTALL
    )  # the other is a part of one, with code
    path = tmp_path / "mine.toml"
    path.write_text(block, encoding="utf-8")
    assert len(load_bench(path).optimizees) == 6
