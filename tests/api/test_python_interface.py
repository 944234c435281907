"""`import rnnprop_cli as rnnprop`: results in a notebook, benchmarks and meta-trainings from a program."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnnprop_cli as rnnprop
from rnnprop_cli.errors import SpecError, StoreError, UsageError
from rnnprop_cli.runs.observer import BatchFinished, Event

BENCH = {
    "name": "small",
    "seeds": 3,
    "horizon": [12],
    "minibatch": 16,
    "calibrated": False,
    "optimizees": [{"kind": "mlp", "dataset": "digits", "hidden": 4}],
    "optimizers": [{"kind": "adam", "lr": 0.05}, {"kind": "sgd", "lr": 3e38}],
}
TRAIN = {
    "name": "tiny",
    "meta_iterations": 4,
    "minibatch": 8,
    "optimizer": {"kind": "rnnprop", "embedding": 3, "hidden": 3},
    "optimizee": {"kind": "mlp", "dataset": "digits", "hidden": 2},
    "truncation": {"horizon": 8, "unroll": 4},
    "validation": {"every": 2, "seeds": 2},
    "checkpoint": {"every": 2},
}
ENGINE = {"kernel": "reference", "threads": 1}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("interface") / "a.db"
    seen: list[Event] = []
    outcome = rnnprop.bench(BENCH, path, observe=seen.append, kernel="reference", threads=1)
    assert (outcome.cells, outcome.ran, outcome.failed) == (6, 6, 0)
    assert any(isinstance(event, BatchFinished) for event in seen)
    rnnprop.train(TRAIN, path, kernel="reference", threads=1)
    return path


@pytest.fixture
def results(database: Path) -> rnnprop.Results:
    return rnnprop.open(database)


def test_a_summary_has_the_rows_of_the_report(results: rnnprop.Results) -> None:
    table = results.summary("small")
    assert [row.optimizer for row in table] == ["adam", "sgd"]
    assert len(table) == 2
    assert table[0].rank == 1
    assert table[-1].counts.diverged == 3
    assert results.summary() == table
    assert table.records()[0]["optimizee"] == "mlp 4"


def test_frames_are_for_pandas(results: rnnprop.Results) -> None:
    pytest.importorskip("pandas")
    table = results.summary("small").frame()
    assert table["optimizer"].tolist() == ["adam", "sgd"]
    assert math.isnan(table["final_loss_mean"][1])
    assert results.runs("small").frame()["status"].value_counts().to_dict() == {"done": 3, "diverged": 3}
    curves = results.curves("small", optimizer="adam")
    long = curves.frame()
    assert len(long) == 3 * 12
    assert long.groupby("seed", observed=True)["step"].max().tolist() == [11] * 3
    assert np.array_equal(long["value"][:12], curves[0].values)
    assert set(long["status"]) == {"done"}


def test_runs_and_curves_are_chosen_by_what_they_are(results: rnnprop.Results) -> None:
    assert len(results.runs("small")) == 6
    assert {run.facts.optimizer for run in results.runs("small", optimizer="sgd")} == {"sgd"}
    assert len(results.runs("small", phase="tuning")) == 0
    assert len(results.runs("small", horizon=12)) == 6
    assert [run.facts.phase for run in results.runs("tiny")] == ["train"]
    (curve,) = results.curves("tiny", metric="train_loss")
    assert curve.steps.tolist() == [1, 2, 3, 4]
    both = results.curves("tiny", metric=["train_loss", "validation_loss"])
    assert [each.metric for each in both] == ["train_loss", "validation_loss"]
    first = next(both.records())
    assert (first["experiment"], first["step"]) == ("tiny", 1)
    assert [each.facts.name for each in results.experiments()] == ["small", "tiny"]


def test_running_again_does_only_what_is_missing(database: Path) -> None:
    assert rnnprop.bench(BENCH, database, kernel="reference", threads=1).ran == 0
    again = rnnprop.train(TRAIN, database, kernel="reference", threads=1)
    assert again.already_done


def test_settings_of_a_call_go_before_those_of_the_recipe(tmp_path: Path) -> None:
    outcome = rnnprop.train(
        TRAIN,
        tmp_path / "a.db",
        name="other",
        seed=3,
        overrides=["meta_iterations=2"],
        kernel="reference",
        threads=1,
    )
    assert (outcome.name, outcome.meta_iterations) == ("other", 2)
    (run,) = rnnprop.open(tmp_path / "a.db").runs("other")
    assert run.facts.seed == 3
    rnnprop.bench(
        BENCH | {"seeds": 1}, tmp_path / "a.db", seed=5, only="*/adam", kernel="reference", threads=1
    )
    assert len(rnnprop.open(tmp_path / "a.db").runs("small")) == 1


def test_several_databases_are_one(database: Path, tmp_path: Path) -> None:
    rnnprop.bench(BENCH | {"name": "other"}, tmp_path / "b.db", only="*/adam", kernel="reference", threads=1)
    results = rnnprop.open(database, tmp_path / "b.db")
    assert {each.facts.name for each in results.experiments()} == {"small", "tiny", "other"}
    assert len(results.curves("other")) == 3
    assert results.paths == rnnprop.open([database, tmp_path / "b.db"]).paths


def test_a_specs_mistakes_are_told_with_their_lines() -> None:
    with pytest.raises(SpecError, match=r"spec:2:9: seeds: must be at least 1"):
        rnnprop.bench(BENCH | {"seeds": 0}, "never.db")
    with pytest.raises(SpecError, match="spec: a set is nothing"):
        rnnprop.bench({"name": "x", "spec": {1}}, "never.db")
    with pytest.raises(SpecError, match="this is a train spec"):
        rnnprop.bench(TRAIN, "never.db")
    with pytest.raises(rnnprop.RnnpropError, match="no spec of that name comes with rnnprop"):
        rnnprop.train("train_quik", "never.db")
    assert not Path("never.db").exists()


def test_what_is_not_there_is_said(results: rnnprop.Results, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        rnnprop.open(tmp_path / "absent.db")
    with pytest.raises(UsageError, match=r"Did you mean small\?"):
        results.summary("smal")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rnnprop.nothing  # noqa: B018


def test_without_pandas_the_extra_is_named(results: rnnprop.Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for values in (results.summary(), results.runs(), results.curves()):
        with pytest.raises(UsageError, match=r"pip install 'rnnprop\[pandas\]'"):
            values.frame()


def test_importing_is_light_and_reading_needs_no_torch(database: Path) -> None:
    script = (
        "import sys\nimport rnnprop_cli as rnnprop\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'sqlite_utils', 'textual', 'rich', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)), 'open' in dir(rnnprop))\n"
        "rnnprop.open(sys.argv[1]).summary('small').records()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(database)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[] True", "False"]


def test_every_public_name_is_there_and_documented() -> None:
    for name in rnnprop.__all__:
        value = getattr(rnnprop, name)
        assert name == "__version__" or (value.__doc__ or "").strip(), name
    for method in ("experiments", "summary", "runs", "curves"):
        assert getattr(rnnprop.Results, method).__doc__


def test_the_document_of_the_interface_runs(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first example, on another benchmark."""
    import re

    pytest.importorskip("pandas")
    text = (Path(rnnprop.__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]
    monkeypatch.chdir(database.parent)
    scope: dict[str, object] = {}
    exec(code.replace("results/rnnprop.db", "a.db").replace("base_mlp", "small"), scope)
    assert "table" in scope
