"""Nests of tensors: what a state may be made of, taken apart and put together again.

A nest is a tensor, a number, a text, None, or a tuple (named or not), a list or a dict of nests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def leaves(nest: Any) -> list[Any]:
    """All that is not a nest of others, in their order.

    Raises:
        TypeError: there is something else in it.
    """
    if isinstance(nest, tuple | list):
        return [leaf for part in nest for leaf in leaves(part)]
    if isinstance(nest, dict):
        return [leaf for key in nest for leaf in leaves(nest[key])]
    if nest is None or isinstance(nest, int | float | str | torch.Tensor):
        return [nest]
    raise TypeError(
        f"a state is made of tensors, numbers, tuples, lists and dicts, not of {type(nest).__name__}"
    )


def rebuilt(nest: Any, others: Iterator[Any]) -> Any:
    """The nest with other leaves."""
    if isinstance(nest, tuple):
        parts = [rebuilt(part, others) for part in nest]
        return type(nest)(*parts) if hasattr(nest, "_fields") else tuple(parts)
    if isinstance(nest, list):
        return [rebuilt(part, others) for part in nest]
    if isinstance(nest, dict):
        return {key: rebuilt(nest[key], others) for key in nest}
    return next(others)


def with_tensors(nest: Any, changed: Callable[[Tensor], Any]) -> Any:
    """The nest with something else in the place of every tensor."""
    return rebuilt(nest, (changed(leaf) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves(nest)))


def form(nest: Any) -> Any:
    """What two nests have in common whose leaves can be exchanged: kinds of leaves, and shapes of tensors."""
    return with_names(
        nest,
        lambda leaf: f"tensor {tuple(leaf.shape)}" if isinstance(leaf, torch.Tensor) else type(leaf).__name__,
    )


def with_names(nest: Any, name: Callable[[Any], str]) -> Any:
    """The nest with a text in the place of every leaf."""
    return rebuilt(nest, map(name, leaves(nest)))
