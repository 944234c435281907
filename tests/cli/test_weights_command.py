import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.execute.weights import weights_from
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.store.checkpoints import load_checkpoint, save_checkpoint


@pytest.fixture
def file(tmp_path: Path) -> Path:
    spec = RNNpropSpec()
    start = spec.build().init_meta_params(0)
    tensors = {name: value.numpy() for name, value in start.items()} | {"adam.m": np.zeros(3)}
    metadata = {"optimizer": spec.model_dump(mode="json"), "meta_iteration": 7}
    return save_checkpoint(tmp_path, "mine", tensors, metadata).path


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_exported_weights_read_back_with_how_they_were_made_and_without_the_training_state(
    tmp_path: Path, file: Path
) -> None:
    code, _, _ = invoke("weights", "export", str(file), str(tmp_path / "out.safetensors"))
    assert code == 0
    weights, again = (
        find_weights(str(file), tmp_path),
        find_weights(str(tmp_path / "out.safetensors"), tmp_path),
    )
    assert again.made == {"meta_iteration": 7}
    assert "adam.m" not in again.tensors
    assert all(np.array_equal(again.tensors[name], weights.tensors[name]) for name in weights.tensors)


def test_npz_holds_the_same_numbers(tmp_path: Path, file: Path) -> None:
    assert invoke("weights", "export", str(file), str(tmp_path / "out.npz"))[0] == 0
    with np.load(tmp_path / "out.npz") as arrays:
        assert sum(array.size for array in arrays.values()) == 6641


@pytest.mark.parametrize("damage", ["nan", "inf", "bool", "complex", "int", "transposed"])
def test_weights_that_no_network_has_are_refused_whole(tmp_path: Path, file: Path, damage: str) -> None:
    tensors, metadata = load_checkpoint(file)
    name = next(name for name, value in tensors.items() if value.ndim == 2 and len(set(value.shape)) == 2)
    changed = {
        "nan": tensors[name] * np.float32("nan"),
        "inf": tensors[name] + np.float32("inf"),
        "bool": tensors[name] > 0,
        "complex": tensors[name].astype(np.complex64),
        "int": tensors[name].astype(np.int32),
        "transposed": tensors[name].T,
    }[damage]
    bad = save_checkpoint(tmp_path, "bad", {**tensors, name: changed}, metadata).path
    code, _, told = invoke("weights", "show", str(bad))
    assert code == 4, told
    assert name in told


def test_nothing_is_overwritten(tmp_path: Path, file: Path) -> None:
    code, _, told = invoke("weights", "export", str(file), str(file))
    assert code == 3
    assert "exists already" in told


def test_neither_is_the_file_beside_it(tmp_path: Path, file: Path) -> None:
    (tmp_path / "out.json").write_text("mine")
    code, _, told = invoke("weights", "export", str(file), str(tmp_path / "out.safetensors"))
    assert (code, "out.json: exists" in " ".join(told.split())) == (3, True)
    assert (tmp_path / "out.json").read_text() == "mine"


def test_folders_on_the_way_are_made(tmp_path: Path, file: Path) -> None:
    for name in ("a/b.npz", "c/d.safetensors"):
        assert invoke("weights", "export", str(file), str(tmp_path / name))[0] == 0
        assert (tmp_path / name).exists()


def test_exported_weights_have_the_hash_of_the_checkpoint_they_came_from(tmp_path: Path, file: Path) -> None:
    invoke("weights", "export", str(file), str(tmp_path / "out.safetensors"))
    before, after = (find_weights(str(path), None) for path in (file, tmp_path / "out.safetensors"))
    assert before.sha256 != after.sha256
    assert before.tensors_sha256 == after.tensors_sha256


def test_show_tells_architecture_and_making(file: Path) -> None:
    code, shown, _ = invoke("weights", "show", str(file))
    assert code == 0
    facts = json.loads(shown)
    assert facts["meta_params"] == 6641
    assert facts["made"] == {"meta_iteration": 7}


def test_shipped_weights_load_and_fit_their_architecture() -> None:
    code, shown, _ = invoke("weights", "list", "--json")
    assert code == 0
    names = [each["name"] for each in json.loads(shown)["weights"] if each["origin"] == "shipped"]
    assert "quick" in names
    for name in names:
        made = find_weights(name, Path("absent.db")).made
        assert {"command", "commit", "versions", "meta_iteration"} <= made.keys(), name


def test_an_unknown_name_says_how_weights_are_made() -> None:
    code, _, told = invoke("--db", "absent.db", "weights", "show", "nobody")
    assert code == 2
    assert "rnnprop train" in told


def test_weights_of_another_shape_are_refused() -> None:
    from rnnprop_cli.errors import CheckpointError

    with pytest.raises(CheckpointError, match=r"embed\.weight"):
        weights_from({"embed.weight": np.zeros((2, 2))}, {"optimizer": {"kind": "rnnprop"}}, "", "here")
