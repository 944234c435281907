"""A dataset of the user's own in a spec: where it is looked for, and what of it identifies a cell."""

from pathlib import Path

import numpy as np
import pytest

from rnnprop_cli.components.plugins import IDENTITY
from rnnprop_cli.errors import DataError, SpecError
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.load import load_bench, load_train

BENCH = """
name = "mine"
horizon = 5
minibatch = 4
calibrated = false
[[optimizees]]
kind = "mlp"
dataset = "data/mine.npz"
[[optimizers]]
kind = "adam"
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    write(tmp_path / "data" / "mine.npz")
    (tmp_path / "bench.toml").write_text(BENCH)
    return tmp_path / "bench.toml"


def write(path: Path, n: int = 12) -> None:
    path.parent.mkdir(exist_ok=True)
    np.savez(path, x=np.arange(n * 3, dtype=np.float32).reshape(n, 3), y=np.arange(n) % 4)


def test_a_path_is_meant_from_the_folder_of_the_spec(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    (optimizee,) = load_bench(spec).optimizees
    assert optimizee.dataset_name == str(spec.parent / "data" / "mine.npz")
    assert optimizee.dataset_label == "mine"
    assert optimizee.n_coordinates == 3 * 20 + 20 + 20 * 4 + 4


def test_only_the_name_of_the_file_identifies_a_cell(spec: Path) -> None:
    (optimizee,) = load_bench(spec).optimizees
    assert optimizee.model_dump(mode="json", context=IDENTITY)["dataset"] == "mine.npz"


def test_a_stored_spec_outlives_its_data(spec: Path) -> None:
    stored = load_bench(spec).model_dump_json()
    (spec.parent / "data" / "mine.npz").unlink()
    assert BenchSpec.model_validate_json(stored).optimizees[0].dataset_label == "mine"


def test_rules_pick_it_by_the_name_of_its_file(spec: Path) -> None:
    rule = '[[exclude]]\nwhere = { dataset = "mine.npz" }\n'
    more = '[[optimizees]]\nkind = "quadratic"\n'
    spec.write_text(BENCH + more + rule)
    assert [lane.label for lane in lanes(load_bench(spec))] == ["quadratic 20 x5/adam"]
    spec.write_text(BENCH)
    assert [lane.label for lane in lanes(load_bench(spec))] == ["mine mlp sigmoid d1 x5/adam"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("absent.npz", r"8:11: optimizees\[0\].dataset: .*absent.npz: no such file"),
        ("absent/", r"8:11: optimizees\[0\].dataset: .*absent: no such folder"),
        (
            "data/mine.npy",
            "not 'data/mine.npy' - or name a file.npz of your own or a folder/ of your own pictures",
        ),
        ("~nobody-is-called-so/x.npz", "no such file"),
        ("a\\u0000b.npz", "a name with characters that cannot be shown"),
    ],
)
def test_what_is_not_there_is_told_with_its_place(written: str, message: str, spec: Path) -> None:
    spec.write_text(BENCH.replace("data/mine.npz", written))
    with pytest.raises(SpecError, match=message):
        load_bench(spec)


def test_a_minibatch_larger_than_it_is_refused(spec: Path) -> None:
    spec.write_text(BENCH.replace("minibatch = 4", "minibatch = 13"))
    with pytest.raises(SpecError, match="13 is more than the 12 training examples of mine,"):
        load_bench(spec)


def test_damage_is_told_as_such(spec: Path) -> None:
    (spec.parent / "data" / "mine.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"mine.npz cannot be read: .*numpy.savez"):
        load_bench(spec)


def test_two_of_one_name_are_refused(spec: Path) -> None:
    write(spec.parent / "other" / "mine.npz")
    spec.write_text(BENCH.replace('"data/mine.npz"', '["data/mine.npz", "other/mine.npz"]'))
    with pytest.raises(SpecError, match="another dataset is called 'mine' too: rename"):
        load_bench(spec)


def test_a_meta_training_takes_it_too(spec: Path) -> None:
    recipe = spec.with_name("train.toml")
    recipe.write_text(
        'name = "t"\nminibatch = 4\n[optimizer]\nkind = "rnnprop"\n'
        '[optimizee]\nkind = "mlp"\ndataset = "data/mine.npz"\n'
    )
    assert load_train(recipe).optimizee.dataset_name == str(spec.parent / "data" / "mine.npz")
