"""`rnnprop plugin` and `spec init` for code of one's own."""

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.components import plugins
from rnnprop_cli.errors import SpecError
from rnnprop_cli.spec.load import load_bench

STARTERS = {"optimizee": "Rings", "optimizer": "SignMomentum", "architecture": "MLPOptimizer"}


@pytest.fixture(autouse=True)
def leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    plugins.allow_code(False)


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


@pytest.mark.parametrize("kind", STARTERS)
def test_what_spec_init_writes_passes_plugin_check(kind: str) -> None:
    assert invoke("spec", "init", kind, "mine.py")[0] == 0
    code, output = invoke("plugin", "check", f"mine.py:{STARTERS[kind]}")
    assert code == 0, output
    assert f": {kind}, sha256" in output
    assert "WRONG" not in output


def test_what_does_not_hold_is_told_and_fails() -> None:
    Path("mine.py").write_text(
        "import torch\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.w = torch.nn.Parameter(torch.zeros(2))\n"
        "    def minibatch(self, generator, size):\n        return torch.randn(size, 2)\n"
        "    def loss(self, x):\n        return ((self.w - x) ** 2).mean()\n"
    )
    code, output = invoke("plugin", "check", "mine.py:Net")
    assert code == 1
    assert "WRONG  everything random is a function of the seed" in output
    code, output = invoke("plugin", "check", "mine.py:Net", "--json")
    found = {row["check"]: row["holds"] for row in json.loads(output)["checks"]}
    assert (code, found["everything random is a function of the seed"]) == (1, False)


@pytest.mark.parametrize(
    ("source", "told"),
    [("mine.py:Net", "No such file"), ("mine", "must be FILE.py:NAME"), ("math:pi", "no installed package")],
)
def test_what_is_not_there_is_refused(source: str, told: str) -> None:
    code, output = invoke("plugin", "check", source)
    assert code == 2
    assert told in output


def test_what_is_nothing_of_the_kind_is_refused() -> None:
    Path("mine.py").write_text("class Thing:\n    pass\n")
    code, output = invoke("plugin", "check", "mine.py:Thing")
    assert code == 2
    assert "say what it is with --kind" in output.replace("\n", " ")


def test_list_names_what_is_built_in_and_what_packages_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, "optimizees", "two-layer", "some_package.nets:TwoLayer")
    code, output = invoke("plugin", "list", "--json")
    found = json.loads(output)
    assert code == 0
    assert "mlp" in found["built_in"]["optimizees"]
    assert found["installed"]["optimizees"] == {"two-layer": "some_package.nets:TwoLayer"}


def test_a_kind_that_a_package_offers_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, "optimizers", "fancy", "torch.optim:RAdam")
    Path("a.toml").write_text(
        'name = "a"\n[[optimizees]]\nkind = "quadratic"\n[[optimizers]]\nkind = "fancy"\nlr = 0.1\n'
    )
    (optimizer,) = load_bench(Path("a.toml")).optimizers
    assert (optimizer.kind, optimizer.name) == ("torch", "radam")
    Path("a.toml").write_text(Path("a.toml").read_text().replace("fancy", "plain"))
    with pytest.raises(SpecError, match="must be one of"):
        load_bench(Path("a.toml"))


def offered(monkeypatch: pytest.MonkeyPatch, group: str, name: str, value: str) -> None:
    """A package that offers something."""

    def entry_points(group: str = "") -> list[EntryPoint]:
        return [EntryPoint(name, value, group)] if group == wanted else []

    wanted = f"rnnprop.{group}"
    monkeypatch.setattr(plugins, "entry_points", entry_points)
