"""Labelled examples by name: one file for each dataset, which offers its `SOURCE`.

facts_of("mnist").shape                  # (1, 28, 28), without reading it
load_dataset("mnist", Path("data"))      # a `Dataset`, from disk
"""

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated

from pydantic import AfterValidator

from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts, Source
from rnnprop_cli.errors import UsageError

__all__ = [
    "Dataset",
    "DatasetFacts",
    "DatasetName",
    "Source",
    "facts_of",
    "load_dataset",
    "source_of",
    "sources",
]

_FIRST = "digits"  # the one that is always here stands first in every list


@cache
def sources() -> dict[str, Source]:
    """Every dataset that comes with the package, by name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found: dict[str, Source] = {m.SOURCE.name: m.SOURCE for m in modules if hasattr(m, "SOURCE")}
    return dict(sorted(found.items(), key=lambda item: (item[0] != _FIRST, item[0] != "mnist", item[0])))


def source_of(name: str) -> Source:
    """Where a dataset comes from. Raises UsageError if there is none of that name."""
    found = sources().get(name)
    if found is None:
        raise UsageError(f"there is no dataset '{name}': choose from {', '.join(sources())}")
    return found


def facts_of(name: str) -> DatasetFacts:
    """What can be known of a dataset without reading it. Raises UsageError as `source_of` does."""
    return source_of(name).facts()


def load_dataset(name: str, data_dir: Path | None = None) -> Dataset:
    """Reads a dataset from disk; never from the network.

    Args:
        name: of a dataset.
        data_dir: searched before the cache; None takes RNNPROP_DATA_DIR.

    Raises:
        UsageError: there is no such dataset.
        DataError: it is not here, or its bytes are wrong.
    """
    return source_of(name).load(data_dir)


def _known(name: str) -> str:
    if name in sources():
        return name
    near = get_close_matches(name[:100].lower(), list(sources()), n=1)
    *others, last = (f"'{each}'" for each in sources())
    suggestion = f" - did you mean '{near[0]}'?" if near else ""
    raise ValueError(f"must be {', '.join(others)} or {last}, not '{name[:40]}'{suggestion}")


# A setting that names a dataset.
DatasetName = Annotated[str, AfterValidator(_known)]
