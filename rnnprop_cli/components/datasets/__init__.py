"""Labelled examples by name: one file for each dataset, which offers its `SOURCE`.

facts_of("mnist").shape                  # (1, 28, 28), without reading it
load_dataset("mnist", Path("data"))      # a `Dataset`, from disk
"""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from os.path import abspath, expanduser
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Annotated, Final

from pydantic import AfterValidator, PlainSerializer, SerializationInfo, ValidationInfo

from rnnprop_cli.components.datasets import packaged
from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts, OwnSource, Source
from rnnprop_cli.components.plugins import FOLDER, Code, entry_point_names
from rnnprop_cli.errors import UsageError

__all__ = [
    "Dataset",
    "DatasetFacts",
    "DatasetName",
    "Source",
    "dataset_code",
    "dataset_label",
    "facts_of",
    "load_dataset",
    "short_name",
    "source_of",
    "sources",
]

_FIRST: Final = ("digits", "mnist")  # in every list


@cache
def sources() -> dict[str, Source]:
    """Every dataset that comes with the package, by name."""
    found: dict[str, Source] = {m.SOURCE.name: m.SOURCE for m in _modules() if hasattr(m, "SOURCE")}
    return dict(sorted(found.items(), key=lambda item: (*(item[0] != first for first in _FIRST), item[0])))


@cache
def _formats() -> tuple[type[OwnSource], ...]:
    return tuple(module.FORMAT for module in _modules() if hasattr(module, "FORMAT"))


def _modules() -> Iterator[ModuleType]:
    return (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))


def source_of(name: str) -> Source:
    """Where a dataset comes from: its name, the path of one of the user's own, or what a package offers.

    Raises:
        UsageError: there is none of that name, or nothing at that path.
    """
    if name in sources():
        return sources()[name]
    form = _format_of(name)
    if form is None:
        try:
            found = packaged.recorded(name) or packaged.offered(name)
        except ValueError as error:
            raise UsageError(f"dataset {error}") from None
        if found is not None:
            return found
        raise UsageError(f"there is no dataset '{name}': choose from {', '.join(sources())}, or {_own()}")
    try:
        return form.located(_absolute(name))
    except ValueError as error:
        raise UsageError(f"dataset {error}") from None


def facts_of(name: str) -> DatasetFacts:
    """What can be known of a dataset without reading its examples.

    Raises:
        UsageError: as `source_of` does.
        DataError: a dataset of the user's own is damaged.
        CodeError: a package's fails.
    """
    return source_of(name).facts()


def load_dataset(name: str, data_dir: Path | None = None) -> Dataset:
    """Reads a dataset from disk; never from the network.

    Args:
        name: of a dataset, or the path of one of the user's own.
        data_dir: searched before the cache; None takes RNNPROP_DATA_DIR.

    Raises:
        UsageError: there is no such dataset.
        DataError: it is not here, or its bytes are wrong.
    """
    return source_of(name).load(data_dir)


def dataset_label(name: str) -> str:
    """What tables call a dataset: its name; one of the user's own by its file, without folder and ending.

    >>> dataset_label("mnist"), dataset_label("/home/me/cells.npz"), dataset_label("/home/me/mnist.npz")
    ('mnist', 'cells', 'mnist.npz')
    """
    if (found := packaged.recorded(name)) is not None:
        return found.code.source if found.label in sources() else found.label
    if _format_of(name) is None:
        return name
    path = Path(name)
    label = path.name if name.endswith("/") else path.stem
    return Path(name).name + "/" * name.endswith("/") if label in sources() else label


def dataset_code(name: str) -> Code | None:
    """What must be run to know a dataset; None where nothing of a package is."""
    found = packaged.recorded(name)
    return None if found is None else found.code


def short_name(name: str) -> str:
    """What rules of a spec call a dataset: one of the user's own goes by the name of its file, wherever that lies."""
    if (found := packaged.recorded(name)) is not None:
        return found.label
    return name if _format_of(name) is None else Path(name).name + "/" * name.endswith("/")


def _format_of(name: str) -> type[OwnSource] | None:
    return None if name in sources() else next((form for form in _formats() if form.takes(name)), None)


def _absolute(name: str, folder: Path = Path()) -> Path:
    return Path(abspath(folder / expanduser(name)))  # noqa: PTH100, PTH111  these never fail, whatever the name


def _own() -> str:
    return "name " + " or ".join(form.written for form in _formats())


def _known(name: str, info: ValidationInfo) -> str:
    """The name, the absolute path of a dataset of the user's own, or all that identifies one of a package.

    Whether it is there is asked only where a file is being read: a spec from the store may outlive its data.
    """
    if name in sources():
        return name
    form = _format_of(name)
    if form is not None:
        if not name.isprintable():
            raise ValueError("has a name with characters that cannot be shown: rename it")
        folder = (info.context or {}).get(FOLDER)
        if folder is None:
            return str(_absolute(name)) + "/" * name.endswith("/")
        return form.located(_absolute(name, Path(folder))).name
    found = packaged.recorded(name) or packaged.offered(name)
    if found is not None:
        return found.name
    near = get_close_matches(name[:100].lower(), [*sources(), *entry_point_names(packaged.GROUP)], n=1)
    *others, last = (f"'{each}'" for each in sources())
    suggestion = f" - did you mean '{near[0]}'?" if near else f" - or {_own()}"
    raise ValueError(f"must be {', '.join(others)} or {last}, not '{name[:40]}'{suggestion}")


def _told(name: str, info: SerializationInfo) -> str:
    """In what identifies a cell, only the file's name: what is in it, its hash tells."""
    if info.context and info.context.get("identity") and _format_of(name) is not None:
        return short_name(name)
    return name


# A setting that names a dataset.
DatasetName = Annotated[str, AfterValidator(_known), PlainSerializer(_told, return_type=str)]
