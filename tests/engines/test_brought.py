"""Datasets that travel: the same examples, for those alone who lack them, and only whole."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from engine_samples import ENGINE

from rnnprop_cli.components.datasets import Dataset, load_dataset
from rnnprop_cli.errors import DataError
from rnnprop_cli.execute import arrived, brought


@pytest.fixture(autouse=True)
def nothing_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrived, "_arrived", {})


def same(one: Dataset, other: Dataset) -> bool:
    pairs = [(getattr(one, each.name), getattr(other, each.name)) for each in fields(Dataset)]
    return all(
        a.dtype == b.dtype and torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs
    )


def unfetched() -> Dataset:
    """What a machine has that has fetched MNIST."""
    pictures = torch.arange(2 * 784, dtype=torch.uint8).reshape(2, 1, 28, 28)
    labels = torch.tensor([3, 1])
    return Dataset(
        "mnist", pictures, labels, None, None, 1 / 255, -0.5, classes=10, sha256="5" * 64, note="few"
    )


@pytest.mark.parametrize("dataset", [load_dataset("digits"), unfetched()], ids=["digits", "no test split"])
def test_a_dataset_comes_out_as_it_went_in(dataset: Dataset) -> None:
    assert same(brought.decode_dataset(brought.encode_dataset(dataset)), dataset)


def test_who_lacks_a_dataset_takes_it_and_who_has_it_does_not_ask(tmp_path: Path) -> None:
    sent, engine = unfetched(), brought.Engine("cpu", 1, tmp_path, "reference")
    content = brought.encode_dataset(sent)
    here = load_dataset("digits")
    asked: list[str] = []

    def get(reference: str) -> bytes:
        asked.append(reference)
        return content

    parcels = (
        brought.Parcel("digits", here.sha256, "unused", "digits there"),
        brought.Parcel("mnist", sent.sha256, brought.sha256(content), "mnist there"),
    )
    brought.take(parcels, engine, get)
    assert asked == ["mnist there"]
    assert same(arrived.find_dataset("mnist", tmp_path, sent.sha256), sent)
    brought.take(parcels, engine, get)
    assert asked == ["mnist there"]
    with pytest.raises(DataError, match="rnnprop data fetch mnist"):
        arrived.find_dataset("mnist", tmp_path, "another")


def test_one_that_was_damaged_on_its_way_is_refused(tmp_path: Path) -> None:
    engine = brought.Engine("cpu", 1, tmp_path, "reference")
    content = brought.encode_dataset(unfetched())
    parcels = (brought.Parcel("mnist", "5" * 64, brought.sha256(content), "x"),)
    with pytest.raises(DataError, match="mnist was damaged on its way"):
        brought.take(parcels, engine, lambda reference: content[:-1] + b"x")
    assert not arrived._arrived


def test_what_is_offered_is_what_the_driver_has() -> None:
    store: list[bytes] = []
    (parcel,) = brought.offer(
        {"digits": load_dataset("digits").sha256}, ENGINE, lambda c: store.append(c) or 0
    )
    assert same(brought.decode_dataset(store[0]), load_dataset("digits"))
    assert parcel[:3] == ("digits", load_dataset("digits").sha256, brought.sha256(store[0]))
