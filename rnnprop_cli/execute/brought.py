"""Datasets on their way to machines that do not have them."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import safetensors.torch
import torch

from rnnprop_cli.components.datasets import Dataset, load_dataset
from rnnprop_cli.errors import DataError, RnnpropError
from rnnprop_cli.execute import arrived
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.wire import open_tensors, sha256

_TENSORS: Final = ("train_images", "train_labels", "test_images", "test_labels")


class Parcel(NamedTuple):
    """A dataset that is offered to whoever needs it."""

    name: str
    dataset_sha256: str
    content_sha256: str
    content: Any  # bytes, or what gives them


def offer(datasets: Mapping[str, str], engine: Engine, put: Callable[[bytes], Any]) -> tuple[Parcel, ...]:
    """The datasets of a benchmark, each where `put` puts it."""
    parcels = []
    for name, dataset_sha256 in datasets.items():
        content = encode_dataset(load_dataset(name, engine.data_dir))
        parcels.append(Parcel(name, dataset_sha256, sha256(content), put(content)))
    return tuple(parcels)


def take(parcels: tuple[Parcel, ...], engine: Engine, get: Callable[[Any], bytes]) -> None:
    """Takes those that are not on this machine's disk.

    Raises:
        DataError: one is not what was sent.
    """
    for parcel in parcels:
        try:
            if arrived.find_dataset(parcel.name, engine.data_dir, parcel.dataset_sha256).sha256 == (
                parcel.dataset_sha256
            ):
                continue
        except RnnpropError:
            pass  # it is not here
        content = get(parcel.content)
        if sha256(content) != parcel.content_sha256:
            raise DataError(f"dataset {parcel.name} was damaged on its way")
        arrived.keep(decode_dataset(content))


def encode_dataset(dataset: Dataset) -> bytes:
    """All examples, and what is known of them."""
    tensors = {name: getattr(dataset, name) for name in _TENSORS}
    about = {name: value for name, value in vars(dataset).items() if name not in _TENSORS}
    whole = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
    return safetensors.torch.save(whole, metadata={"rnnprop": json.dumps(about)})


def decode_dataset(content: bytes) -> Dataset:
    """As it was."""
    about, tensors = open_tensors(content)
    made: dict[str, Any] = dict.fromkeys(_TENSORS)
    made |= {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}
    return Dataset(**made, **about)
