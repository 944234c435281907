"""PyTorch, loaded at the first use of something in it.

A component is one file: its settings, which the command line reads, and its arithmetic, which needs PyTorch. Loading
PyTorch takes seconds, so files of components take `torch` from here; annotations of theirs are never evaluated.
"""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")

if TYPE_CHECKING:
    import torch as torch
else:

    class _Lazy:
        """A module that is imported when it is used; what was used stays, so that it costs nothing again."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            value = getattr(import_module(self._name), attribute)
            setattr(self, attribute, value)
            return value

    torch = _Lazy("torch")


def no_grad(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """As the decorator `torch.no_grad()`, which would load PyTorch where the function is defined."""

    @wraps(function)
    def without_a_graph(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with torch.no_grad():
            return function(*args, **kwargs)

    return without_a_graph
