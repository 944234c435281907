"""The datasets of this process: those on its disk, and those that came over the network."""

from pathlib import Path

from rnnprop_cli.components.datasets import Dataset, load_dataset
from rnnprop_cli.errors import RnnpropError

_arrived: dict[tuple[str, str], Dataset] = {}  # by name and by the hash of its files


def keep(dataset: Dataset) -> None:
    """Takes a dataset that came, for all batches of this process."""
    _arrived[dataset.name, dataset.sha256] = dataset


def find_dataset(name: str, data_dir: Path | None, wanted_sha256: str | None) -> Dataset:
    """A dataset from the disk, or the one that came.

    Args:
        name: of it.
        data_dir: where it is looked for first.
        wanted_sha256: which one; None: whatever is there.

    Raises:
        RnnpropError: it is not here, nor did it come.
    """
    came = _arrived.get((name, wanted_sha256 or ""))
    try:
        found = load_dataset(name, data_dir)
    except RnnpropError:
        if came is None:
            raise
        return came
    return found if came is None or found.sha256 == wanted_sha256 else came
