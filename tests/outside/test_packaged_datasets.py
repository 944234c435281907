"""Datasets that an installed package offers: found by name, imported only where that is allowed, known by version and
content."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import install
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.components import plugins
from rnnprop_cli.components.datasets import facts_of, load_dataset, packaged
from rnnprop_cli.components.plugins import IDENTITY
from rnnprop_cli.errors import CodeError, DataError, SpecError, UsageError
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.load import load_bench
from rnnprop_cli.store.reader import Reader

DATA = """
from pathlib import Path
import numpy as np

Path("imported").touch()

def dots(n=40):
    x = np.arange(3 * n, dtype="float32").reshape(n, 3) / n
    y = np.arange(n) % 2
    return {"x": x[:30], "y": y[:30], "x_test": x[30:], "y_test": y[30:]}

def words():
    return "to be or not to be, that is the question. " * 20

def objects():
    return {"x": [[None]], "y": [0]}

def short():
    return {"x": np.zeros((3, 2), "float32"), "y": [0, 1]}

def number():
    return 3

def broken():
    raise KeyError("wine")

NAMED = dots
"""
BENCH = """
name = "b"
seeds = 2
horizon = 3
minibatch = 4
calibrated = false
untuned = false
[[optimizees]]
kind = "mlp"
dataset = "dots"
hidden = 2
[[optimizers]]
kind = "sgd"
lr = 0.1
"""
DOTS = "dots (some_package:dots, some-package 1.0)"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where it is installed; the working folder holds a spec."""
    place, work = tmp_path / "site", tmp_path / "work"
    for each in (place, work):
        each.mkdir()
    monkeypatch.chdir(work)
    (place / "some_package.py").write_text(DATA)
    offered = {"dots": "some_package:dots", "mnist": "some_package:dots", "odd": "some_package"}
    install(monkeypatch, place, "some-package", "1.0", {"rnnprop.datasets": offered})
    Path("b.toml").write_text(BENCH)
    yield place
    plugins.allow_code(False)
    sys.modules.pop("some_package", None)
    packaged._facts.cache_clear()
    plugins._distributions.cache_clear()


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["--db", "a.db", *arguments])
    return result.exit_code, result.output.replace("\n", " ")


def test_reading_a_spec_says_what_a_name_stands_for_and_imports_nothing() -> None:
    spec = load_bench(Path("b.toml"))
    (optimizee,) = spec.optimizees
    assert (optimizee.dataset_name, optimizee.dataset_label) == (DOTS, "dots")
    assert optimizee.model_dump(mode="json", context=IDENTITY)["dataset"] == DOTS
    assert [lane.label for lane in lanes(spec)] == ["dots mlp 2 sigmoid d1 x3/sgd"]
    assert invoke("spec", "check", "b.toml")[0] == 0
    assert not Path("imported").exists()


def test_a_name_of_ours_is_ours_whatever_a_package_offers() -> None:
    assert facts_of("mnist").train == 55_000
    assert not Path("imported").exists()


def test_a_place_in_a_package_needs_no_entry_point() -> None:
    Path("b.toml").write_text(BENCH.replace('"dots"', '["some_package:NAMED", "some_package:dots"]'))
    labels = [each.dataset_label for each in load_bench(Path("b.toml")).optimizees]
    assert labels == ["NAMED", "dots"]


def test_a_rule_picks_it_by_its_name() -> None:
    Path("b.toml").write_text(
        BENCH + '[[optimizees]]\nkind = "quadratic"\n[[exclude]]\nwhere = { dataset = "dots" }\n'
    )
    assert [lane.label for lane in lanes(load_bench(Path("b.toml")))] == ["quadratic 20 x3/sgd"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("dost", "did you mean 'dots'"),
        ("odd", "must be 'digits'"),  # its value is no function
        ("no_package:dots", "no installed package has the module 'no_package'"),
        ("some_package.py:dots", "is a file of code, and only an installed package"),
    ],
)
def test_what_is_not_there_is_refused_with_its_place(written: str, message: str) -> None:
    Path("b.toml").write_text(BENCH.replace('"dots"', f'"{written}"'))
    with pytest.raises(SpecError, match=rf"b.toml:10:11: optimizees\[0\].dataset: .*{message}"):
        load_bench(Path("b.toml"))


def test_without_leave_nothing_is_imported_and_nothing_recorded() -> None:
    code, output = invoke("bench", "--spec", "b.toml")
    assert code == 2
    assert "some_package:dots is code" in output
    assert "--allow-code" in output
    assert not Path("imported").exists()
    if Path("a.db").exists():
        with Reader.open(Path("a.db")) as reader:
            assert reader.experiments() == []


def test_a_benchmark_of_it_runs_and_names_version_and_data(package: Path) -> None:
    code, output = invoke("bench", "--spec", "b.toml", "--allow-code")
    assert code == 0, output
    with Reader.open(Path("a.db")) as reader:
        run = reader.runs(reader.find_experiment("b").id)[0]
    assert (run.facts.dataset, run.result.status) == ("dots", "done")
    assert run.config["optimizee"]["dataset"] == DOTS
    assert run.environment["dataset_sha256"] == load_dataset(DOTS).sha256
    assert run.environment["chance_loss"] == pytest.approx(0.693, abs=1e-3)
    assert "dots · mlp 2 sigmoid" in invoke("report", "b")[1]


def test_another_version_is_said_and_not_taken_for_the_one_of_before(package: Path) -> None:
    stored = BenchSpec.model_validate_json(load_bench(Path("b.toml")).model_dump_json())
    (package / "some_package-1.0.dist-info").rename(package / "some_package-2.0.dist-info")
    facts = package / "some_package-2.0.dist-info" / "METADATA"
    facts.write_text(facts.read_text().replace("1.0", "2.0"))
    assert load_bench(Path("b.toml")).optimizees[0].dataset_name == DOTS.replace("1.0", "2.0")
    plugins.allow_code()
    with pytest.raises(UsageError, match=r"recorded with some-package 1\.0, here is some-package 2.0"):
        load_dataset(stored.optimizees[0].dataset_name or "")


def test_a_stored_spec_outlives_its_package(package: Path) -> None:
    stored = load_bench(Path("b.toml")).model_dump_json()
    (package / "some_package-1.0.dist-info" / "entry_points.txt").unlink()
    assert BenchSpec.model_validate_json(stored).optimizees[0].dataset_label == "dots"


def test_what_does_not_fit_is_told_when_it_is_loaded() -> None:
    Path("b.toml").write_text(BENCH.replace('"dots"', '"some_package:words"'))
    assert invoke("spec", "check", "b.toml")[0] == 0
    code, output = invoke("bench", "--spec", "b.toml", "--allow-code")
    assert (code, "is a text, whose characters only" in output) == (2, True)
    Path("b.toml").write_text(BENCH.replace("minibatch = 4", "minibatch = 31"))
    code, output = invoke("bench", "--spec", "b.toml", "--allow-code")
    assert (code, "31 is more than the 30 training examples of dots" in output) == (2, True)


def test_a_text_is_learned_by_a_transformer() -> None:
    plugins.allow_code()
    facts = facts_of("some_package:words")
    assert (facts.text, facts.classes, facts.test) == (
        True,
        len(set("to be or not to be, that is the question. ")),
        84,
    )


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("objects", DataError, "some_package:objects: array x holds objects"),
        ("short", DataError, "some_package:short: array x has 3 examples, y has 2: they must be as many"),
        ("number", CodeError, "some_package:number: gives a int, not a dictionary of arrays"),
        ("broken", CodeError, "some_package:broken: KeyError: 'wine'"),
        ("absent", CodeError, "some_package:absent: AttributeError"),
    ],
)
def test_what_it_does_wrong_is_said(name: str, error: type[Exception], message: str) -> None:
    plugins.allow_code()
    with pytest.raises(error, match=message):
        load_dataset(f"some_package:{name}")


def test_lists_name_it_and_import_nothing() -> None:
    assert (
        json.loads(invoke("plugin", "list", "--json")[1])["installed"]["datasets"]["dots"]
        == "some_package:dots"
    )
    assert "dots       package  some_package:dots" in invoke("data", "list")[1]
    assert invoke("data", "verify", "dots")[0] == 2
    assert not Path("imported").exists()


@pytest.mark.parametrize(("name", "code"), [("dots", 0), ("short", 1)])
def test_plugin_check_holds_it_to_what_a_dataset_is(name: str, code: int) -> None:
    found, output = invoke("plugin", "check", f"some_package:{name}", "--kind", "dataset")
    assert (found, "WRONG" in output) == (code, code == 1)
    assert "dataset, some-package 1.0" in output
