"""Datasets from the user's own arrays: what follows from them, and what is refused."""

import io
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnprop_cli.components.datasets import dataset_label, facts_of, load_dataset
from rnnprop_cli.errors import DataError, UsageError

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (30, 1, 4, 4), dtype=np.uint8)
CLASSES = np.arange(30) % 3
ROWS = RANDOM.normal(size=(30, 5)).astype(np.float32)


def saved(folder: Path, **arrays: Any) -> str:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return str(path)


def test_sizes_classes_and_chance_follow_from_the_arrays(tmp_path: Path) -> None:
    name = saved(tmp_path, x=PICTURES, y=CLASSES, x_test=PICTURES[:7], y_test=CLASSES[:7])
    facts = facts_of(name)
    assert facts[:4] == ((1, 4, 4), 3, 30, 7)
    assert facts.chance_loss == math.log(3)
    dataset = load_dataset(name)
    assert dataset.train_images.dtype == torch.uint8
    assert dataset.train_labels.dtype == torch.int64
    assert torch.equal(dataset.train_images, torch.from_numpy(PICTURES))
    assert dataset.test_labels is not None
    assert dataset.test_labels.tolist() == CLASSES[:7].tolist()
    assert (dataset.classes, dataset.scale, dataset.shift) == (3, 1 / 255, 0.0)


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f8"])
def test_floating_targets_are_numbers_to_predict_and_floating_inputs_stay_as_they_are(
    dtype: str, tmp_path: Path
) -> None:
    inputs, targets = ROWS.astype(dtype), ROWS[:, 0].astype(dtype)
    name = saved(tmp_path, x=np.asfortranarray(inputs), y=targets)
    assert facts_of(name)[:4] == ((5,), None, 30, 0)
    assert facts_of(name).chance_loss is None
    dataset = load_dataset(name)
    assert dataset.train_images.numpy().tolist() == inputs.tolist()
    assert (dataset.classes, dataset.scale, dataset.test_images) == (None, 1.0, None)
    assert dataset.note.endswith("no test split")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "bool"])
def test_labels_may_be_of_any_whole_type(dtype: str, tmp_path: Path) -> None:
    name = saved(tmp_path, x=ROWS, y=(CLASSES % 2).astype(dtype))
    assert facts_of(name).classes == 2
    assert load_dataset(name).train_labels.tolist() == (CLASSES % 2).tolist()


def test_the_hash_is_of_the_arrays_and_not_of_the_file(tmp_path: Path) -> None:
    first = load_dataset(saved(tmp_path, x=ROWS, y=CLASSES)).sha256
    np.savez_compressed(tmp_path / "other.npz", y=CLASSES, x=ROWS)
    assert load_dataset(str(tmp_path / "other.npz")).sha256 == first
    assert load_dataset(saved(tmp_path, x=ROWS, y=CLASSES[::-1])).sha256 != first


def test_facts_are_read_anew_when_the_file_has_changed(tmp_path: Path) -> None:
    name = saved(tmp_path, x=ROWS, y=CLASSES)
    assert facts_of(name).classes == 3
    assert saved(tmp_path, x=ROWS[:20], y=CLASSES[:20] % 2) == name
    os.utime(name, ns=(0, 0))
    assert facts_of(name)[:3] == ((5,), 2, 20)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": ROWS}, "array y is missing"),
        ({"x": ROWS, "y": CLASSES, "x_test": ROWS}, "array y_test is missing, and x_test is there"),
        ({"x": ROWS, "y": CLASSES, "xtest": ROWS}, "array xtest is none of the arrays that are read"),
        ({"x": ROWS, "y": CLASSES[:9]}, "array x has 30 examples, y has 9"),
        ({"x": ROWS[:, 0], "y": CLASSES}, r"array x has shape \(30,\).*x.reshape\(-1, 1\)"),
        ({"x": ROWS[:, :0], "y": CLASSES}, r"array x has shape \(30, 0\), which holds nothing"),
        ({"x": ROWS[:0], "y": CLASSES[:0]}, r"array x has shape \(0, 5\), which holds nothing"),
        ({"x": ROWS.astype(np.int32), "y": CLASSES}, "array x is int32: save uint8"),
        ({"x": ROWS.astype(np.float16), "y": CLASSES}, "array x is float16: save uint8"),
        ({"x": ROWS, "y": np.eye(3)[CLASSES]}, r"array y has shape \(30, 3\).*y.argmax\(1\)"),
        ({"x": ROWS, "y": CLASSES[:, None]}, r"array y has shape \(30, 1\).*y.ravel\(\)"),
        ({"x": ROWS, "y": CLASSES - 1}, "array y holds the label -1: number the classes from 0"),
        ({"x": ROWS, "y": CLASSES + 90}, "array y holds the label 92 among 30 examples"),
        ({"x": ROWS, "y": CLASSES * 0}, "array y holds one class"),
        ({"x": ROWS, "y": CLASSES.astype(str)}, "array y is str"),
        ({"x": ROWS, "y": CLASSES.astype(object)}, "array y holds pickled objects, which are never read"),
        (
            {"x": ROWS, "y": np.where(CLASSES == 1, np.nan, 0.0)},
            r"array y holds nan at \[1\], and 10 such numbers",
        ),
        (
            {"x": ROWS, "y": CLASSES, "x_test": ROWS[:, :2], "y_test": CLASSES},
            r"array x_test has examples of shape \(2,\)",
        ),
        ({"x": ROWS, "y": CLASSES, "x_test": ROWS, "y_test": ROWS[:, 0]}, "array y_test has examples of"),
    ],
)
def test_arrays_that_make_no_sense_are_refused_with_their_name(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    name = saved(tmp_path, **arrays)
    with pytest.raises(DataError, match=f"mine.npz: {message}"):
        facts_of(name)
    with pytest.raises(DataError, match=message):
        load_dataset(name)


@pytest.mark.parametrize("which", ["x", "x_test"])
def test_inputs_that_are_not_finite_are_refused_when_they_are_read(which: str, tmp_path: Path) -> None:
    arrays = {"x": ROWS, "y": CLASSES, "x_test": ROWS, "y_test": CLASSES}
    arrays[which] = np.where(ROWS[4, 2] == ROWS, np.inf, ROWS)
    with pytest.raises(DataError, match=rf"array {which} holds inf at \[4, 2\], and 1 such numbers"):
        load_dataset(saved(tmp_path, **arrays))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


def _plain_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, ROWS)


def _lying_header(path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"shape": (10**12, 5), "fortran_order": False, "descr": "<f4"}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", buffer.getvalue())
        archive.writestr("y.npy", buffer.getvalue())


@pytest.mark.parametrize("damage", [_cut, _flip, _plain_array, _lying_header])
def test_a_damaged_file_is_refused(damage: Any, tmp_path: Path) -> None:
    name = saved(tmp_path, x=ROWS, y=CLASSES)
    damage(Path(name))
    with pytest.raises(DataError, match=r"mine\.npz(: array x is damaged| cannot be read)"):
        load_dataset(name)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        facts_of(str(tmp_path / "absent.npz"))
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(UsageError, match="is a pipe"):
        facts_of(str(tmp_path / "pipe.npz"))
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UsageError, match="is a directory"):
        facts_of(str(tmp_path / "folder.npz"))


def test_tables_call_it_by_its_name_unless_that_is_taken() -> None:
    names = ["mnist", "/a/b/cells.npz", "/a/b/mnist.npz", "/a/pets.v2/", "/a/mnist/"]
    assert [dataset_label(name) for name in names] == ["mnist", "cells", "mnist.npz", "pets.v2", "mnist/"]
