"""What README and the pages say exists, exists; what exists, they say."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnnprop_cli.cli.app import COMMANDS, app
from rnnprop_cli.spec.load import load_bench

ROOT = Path(__file__).parent.parent


def read(name: str) -> str:
    """Without the tables of results, in which optimizers have names such as "rnnprop tuned"."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"<!-- table.*?<!-- end -->", "", text, flags=re.DOTALL)


README = read("README.md")
COMMANDS_PAGE = read("docs/commands.md")
BENCHMARKS = read("docs/benchmarks.md")
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
NAMES = [name for name, *_ in COMMANDS]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_and_is_on_its_page(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert re.search(rf"^rnnprop {name}\b", COMMANDS_PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_exists(page: str) -> None:
    text = read(page).replace("`rnnprop checkpoint 1`", "")  # the name of a format
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    named = set(re.findall(r"\brnnprop(?: --?\w+(?:[ =]\S+)?)* ([a-z]+)\b", " \n".join(inline)))
    for block in blocks:
        named |= set(re.findall(r"^rnnprop(?: --db \S+)* ([a-z]+)", block, flags=re.MULTILINE))
    assert named <= set(NAMES)


def test_the_readme_leads_to_the_pages() -> None:
    linked = set(re.findall(r"\]\(docs/(\w+\.md)\)", README))
    assert linked <= {path.name for path in (ROOT / "docs").glob("*.md")}
    assert {
        "start.md",
        "commands.md",
        "benchmarks.md",
        "methodology.md",
        "reproduction.md",
        "faq.md",
    } <= linked


def test_the_picture_comes_first() -> None:
    assert README.index("![") < README.index("## ")
    assert len(README.split()) < 1000


def test_the_page_of_benchmarks_names_every_spec_and_no_other() -> None:
    there = {path.name for path in (ROOT / "bench_specs").glob("*.toml")}
    section = BENCHMARKS.split("## The experiments of the paper")[1].split("\n## ")[0]
    assert set(re.findall(r"`(\w+\.toml)`", section)) == there


@pytest.mark.parametrize("text", [README, BENCHMARKS], ids=["README", "benchmarks"])
def test_a_benchmark_that_is_shown_loads(text: str, tmp_path: Path) -> None:
    block = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)[0]
    path = tmp_path / "mine.toml"
    path.write_text(block, encoding="utf-8")
    assert len(load_bench(path).optimizees) == 6
