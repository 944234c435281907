"""Finds the components: every model with a `kind` in the files of a package is one.

So a new component is a new file, and nothing else changes: specs accept it, the JSON schema offers it, the conformance
tests take it in. The files are light to import; PyTorch is loaded by what they build.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any, Union

from pydantic import BaseModel, Field


def kind_of(model: type[BaseModel]) -> Any:
    """What a spec calls it; no text for a model that is there to be derived from."""
    return model.model_fields["kind"].default


def find(package: str, base: Any) -> dict[str, Any]:
    """The components of a package by their kind, in alphabetical order of kinds.

    Args:
        package: whose modules are looked through.
        base: the model that they derive from.
    """
    return dict(_found(package, base))


@cache
def _found(package: str, base: Any) -> tuple[tuple[str, type[Any]], ...]:
    models: dict[str, type[Any]] = {}
    for module in iter_modules(import_module(package).__path__):
        for value in vars(import_module(f"{package}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, base) and isinstance(kind_of(value), str):
                models[kind_of(value)] = value
    return tuple(sorted(models.items()))


def union(package: str, base: Any) -> Any:
    """The type of a setting that is one of the components, told apart by `kind`."""
    return Annotated[Union[tuple(find(package, base).values())], Field(discriminator="kind")]  # noqa: UP007
