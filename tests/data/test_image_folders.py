"""Datasets from folders of pictures."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rnnprop_cli.components.datasets import facts_of, load_dataset
from rnnprop_cli.errors import DataError, UsageError


def put(path: Path, size: tuple[int, int] = (6, 4), mode: str = "RGB", value: int = 7) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "I;16") else (value, 0, 255)).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for split, count in (("train", 3), ("test", 1)):
        for kind, value in (("dog", 20), ("cat", 10)):
            for number in range(count):
                put(tmp_path / split / kind / f"{number}.png", value=value + number)
    (tmp_path / "train" / "dog" / "notes.txt").write_text("not a picture")
    return tmp_path


def test_classes_are_the_folders_in_the_order_of_their_names(pets: Path) -> None:
    name = f"{pets}/"
    assert facts_of(name)[:4] == ((3, 4, 6), 2, 6, 2)
    dataset = load_dataset(name)
    assert dataset.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.train_images[:, 0, 0, 0].tolist() == [10, 11, 12, 20, 21, 22]
    assert dataset.train_images[0, :, 3, 5].tolist() == [10, 0, 255]
    assert dataset.test_labels is not None
    assert dataset.test_labels.tolist() == [0, 1]
    assert (dataset.classes, dataset.scale) == (2, 1 / 255)


def test_without_splits_all_pictures_are_to_train_on(pets: Path) -> None:
    assert facts_of(f"{pets}/train/")[:4] == ((3, 4, 6), 2, 6, 0)
    assert load_dataset(f"{pets}/train/").test_images is None


def test_the_hash_is_of_the_pictures_and_not_of_their_names(pets: Path) -> None:
    before = load_dataset(f"{pets}/").sha256
    (pets / "train" / "cat" / "2.png").rename(pets / "train" / "cat" / "3.png")
    assert load_dataset(f"{pets}/").sha256 == before
    put(pets / "train" / "cat" / "3.png", value=99)
    assert load_dataset(f"{pets}/").sha256 != before


def test_grey_pictures_have_one_channel_and_jpegs_are_read(tmp_path: Path) -> None:
    for kind in ("a", "b"):
        put(tmp_path / kind / "1.JPG", mode="L", value=50)
    assert facts_of(f"{tmp_path}/").shape == (1, 4, 6)
    assert np.abs(load_dataset(f"{tmp_path}/").train_images.numpy() - 50.0).max() <= 1


def test_a_new_picture_counts_at_once(pets: Path) -> None:
    assert facts_of(f"{pets}/").train == 6
    put(pets / "train" / "cat" / "9.png")
    assert facts_of(f"{pets}/").train == 7


def test_what_does_not_fit_is_refused_by_name(pets: Path) -> None:
    dog = pets / "train" / "dog"
    put(dog / "9.png", size=(5, 4))
    with pytest.raises(DataError, match=r"dog/9.png is 5 x 4, .*cat/0.png is 6 x 4: .*one size"):
        load_dataset(f"{pets}/")
    put(dog / "9.png", mode="L")
    with pytest.raises(DataError, match=r"dog/9.png is grey, .*cat/0.png is in colours"):
        load_dataset(f"{pets}/")
    put(dog / "9.png", mode="I;16")
    with pytest.raises(DataError, match=r"dog/9.png is of mode I;16: save it with 8 bits"):
        load_dataset(f"{pets}/")
    (dog / "9.png").write_bytes((dog / "1.png").read_bytes()[:45])
    with pytest.raises(DataError, match=r"dog/9.png cannot be read as a picture"):
        load_dataset(f"{pets}/")


def test_folders_that_are_no_dataset_are_refused(
    pets: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    put(pets / "test" / "cow" / "1.png")
    with pytest.raises(DataError, match=r"test/cow is a class that .*train has not"):
        facts_of(f"{pets}/")
    shutil.rmtree(pets / "test" / "cow")
    (pets / "train" / "cow").mkdir()
    with pytest.raises(DataError, match=r"train/cow holds no picture"):
        facts_of(f"{pets}/")
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(DataError, match=r"holds 0 folders: .*a folder of pictures for each class"):
        facts_of(f"{empty}/")
    with pytest.raises(UsageError, match="no such folder"):
        facts_of(f"{empty}/absent/")


def test_without_pillow_the_remedy_is_told(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(DataError, match=r"pip install 'rnnprop\[images\]'"):
        load_dataset(f"{pets}/")
