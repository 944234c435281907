"""A dataset that an installed package offers: a function of no arguments that gives its arrays, or its text.

    def wine():
        return {"x": x, "y": y, "x_test": x_test, "y_test": y_test}    # as a file.npz holds them; the last two optional

A spec names the entry point in the group `rnnprop.datasets`, or `package.module:name`. When it is read, the name
becomes `wine (some_package.data:wine, some-package 1.0)`: what it stands for, so that results say what made them. Facts
and examples are in the package alone, so whoever wants them must allow code; reading a spec does not ask for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from rnnprop_cli.components.datasets.arrays import given_arrays
from rnnprop_cli.components.datasets.base import Dataset, DatasetFacts, Source
from rnnprop_cli.components.datasets.text import characters_of
from rnnprop_cli.components.plugins import Code, entry_point, package_of, told
from rnnprop_cli.errors import CodeError, DataError

GROUP: Final = "datasets"  # of entry points

_LABEL: Final = re.compile(r"[\w.-]+")
_SOURCE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_WHOLE: Final = re.compile(
    rf"(?P<label>{_LABEL.pattern}) \((?P<source>{_SOURCE.pattern}), (?P<package>[^()]+)\)"
)


@dataclass(frozen=True)
class Packaged(Source):
    """A function of a package.

    Attributes:
        label: what tables call it.
        code: which function, of which version of the package.
    """

    label: str
    code: Code

    @property
    def name(self) -> str:  # type: ignore[override]
        """See `Source`: all that identifies it but its data."""
        return f"{self.label} ({self.code.source}, {self.code.package})"

    def facts(self) -> DatasetFacts:
        """See `Source`. Makes the dataset, once in a process, so that code must be allowed."""
        return _facts(self)

    def load(self, data_dir: Path | None) -> Dataset:
        """See `Source`; code must be allowed."""
        given = self._given()
        try:
            if isinstance(given, str):
                return characters_of(given).dataset(
                    self.name, f"{len(given):,} characters of {self.code.package}"
                )
            with given_arrays(self.code.source, given) as arrays:
                return arrays.dataset(self.name, self.code.package)
        except ValueError as error:
            raise DataError(f"{self.code.source} {error}") from None

    def _given(self) -> str | Mapping[str, Any]:
        made = self.code.load()
        with told(self.code):
            given = made()
        if not isinstance(given, str | Mapping):
            raise CodeError(
                f"{self.code.source}: gives a {type(given).__name__}, not a dictionary of arrays x and y, or a text"
            )
        return given


@lru_cache(maxsize=64)
def _facts(source: Packaged) -> DatasetFacts:
    dataset = source.load(None)
    return DatasetFacts(
        tuple(dataset.train_images.shape[1:]),
        dataset.classes,
        len(dataset.train_labels),
        0 if dataset.test_labels is None else len(dataset.test_labels),
        text=dataset.text,
    )


def recorded(name: str) -> Packaged | None:
    """The dataset that a spec names which was read before; None where it is none of a package."""
    match = _WHOLE.fullmatch(name)
    if match is None:
        return None
    return Packaged(match["label"], Code(source=match["source"], package=match["package"]))


def offered(name: str) -> Packaged | None:
    """The dataset that a package offers by that name, or has at that place; imports nothing.

    Raises:
        ValueError: it names a file, or a package that is not installed; to stand after `dataset: `.
    """
    written_out = _SOURCE.fullmatch(name) is not None
    source = name if written_out else entry_point(GROUP, name) if _LABEL.fullmatch(name) else None
    if source is None or not _SOURCE.fullmatch(source):
        return None
    module, _, found = source.partition(":")
    if module.endswith(".py"):
        raise ValueError(
            "is a file of code, and only an installed package can offer data: save them as a file.npz"
        )
    package = package_of(module)
    if not package:
        raise ValueError(
            f"no installed package has the module '{module}': install it, or name a file of your own"
        )
    return Packaged(found if written_out else name, Code(source=source, package=package))
