"""A learned optimizer from outside: a class in a file or in an installed package.

The class needs nothing of ours. It is made with the settings of the spec and offers what `Architecture` describes:

    named_shapes() -> [(name, shape), ...]              of the meta-params
    init_meta_params(generator) -> {name: tensor}       optional; without it weights ~ N(0, 1 / fan-in), vectors 0
    init(params, shapes) -> state                       tuples, lists and dicts of tensors and numbers
    step(meta_params, state, grads, params, context) -> (what is added to the params, the next state)

`params`, `grads` and the updates are [cells, coordinates]; cells must not see one another. `context` is a `Context`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, JsonValue

from rnnprop_cli.components.learned.base import Architecture, ArchitectureSpec, Context, Shapes
from rnnprop_cli.components.plugins import Code, CodeSource, told
from rnnprop_cli.errors import CodeError
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

TAKEN: Final = ("adam.m", "adam.v", "average")  # names that a checkpoint has for other tensors
METHODS: Final = ("named_shapes", "init", "step")


class OutsideSpec(ArchitectureSpec):
    """A learned optimizer whose class is not ours."""

    kind: Literal["architecture"] = "architecture"
    source: CodeSource  # "my_opt.py:MLPOptimizer" or "package.module:Name"
    settings: dict[str, JsonValue] = Field(default_factory=dict)  # keyword arguments of the class

    @property
    def name(self) -> str:
        """See `ArchitectureSpec`: that of the class."""
        return self.source.name

    def build(self) -> OutsideArchitecture:
        """See `ArchitectureSpec`.

        Raises:
            UsageError: code is not allowed, or another version of it is installed.
            CodeError: it fails, or is no learned optimizer.
        """
        return OutsideArchitecture(self.source, self.settings)


class OutsideArchitecture(Architecture):
    """A class of the user's, told with its own file and line where it fails.

    Args:
        code: the class.
        settings: its keyword arguments.
    """

    def __init__(self, code: Code, settings: Mapping[str, Any]) -> None:
        self.code = code
        made = code.load()
        if not callable(made):
            raise CodeError(f"{code.source}: is of type {type(made).__name__}, not a class")
        with told(code):
            self._own = made(**settings)
        missing = [name for name in METHODS if not callable(getattr(self._own, name, None))]
        if missing:
            raise CodeError(
                f"{code.source}: has no {' and no '.join(missing)}: a learned optimizer has {', '.join(METHODS)}"
            )
        self._shapes = self._read_shapes()

    def named_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """See `Architecture`."""
        return self._shapes

    def init_meta_params(self, seed: int) -> dict[str, Tensor]:
        """See `Architecture`."""
        generator = torch.Generator().manual_seed(seed)
        if not hasattr(self._own, "init_meta_params"):
            return {name: _default(shape, generator) for name, shape in self._shapes}
        with told(self.code):
            given = self._own.init_meta_params(generator)
        found = {name: tuple(value.shape) for name, value in _tensors(given).items()}
        if found != dict(self._shapes):
            raise CodeError(
                f"{self.code.source}: init_meta_params gives {_listed(found)}; named_shapes says "
                f"{_listed(dict(self._shapes))}"
            )
        return {name: given[name].detach().to("cpu", torch.float32) for name, _ in self._shapes}

    def init(self, params_CP: Tensor, shapes: Shapes) -> Any:
        """See `Architecture`."""
        with told(self.code):
            return self._own.init(params_CP, shapes)

    def step(
        self,
        meta_params: Mapping[str, Tensor],
        state: Any,
        grads_CP: Tensor,
        params_CP: Tensor,
        context: Context,
    ) -> tuple[Tensor, Any]:
        """See `Architecture`."""
        with told(self.code):
            result: Any = self._own.step(meta_params, state, grads_CP, params_CP, context)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], torch.Tensor)):
            raise CodeError(f"{self.code.source}: step returns (updates, state), not {_kind(result)}")
        updates_CP, state = result
        if updates_CP.shape != params_CP.shape or updates_CP.dtype != params_CP.dtype:
            raise CodeError(
                f"{self.code.source}: step returns updates of {tuple(updates_CP.shape)} {updates_CP.dtype} for params "
                f"of {tuple(params_CP.shape)} {params_CP.dtype}"
            )
        return updates_CP, state

    def _read_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        with told(self.code):
            given = self._own.named_shapes()
            listed = list(given.items()) if isinstance(given, Mapping) else list(given)
            shapes = [(name, tuple(shape)) for name, shape in listed]
        for name, shape in shapes:
            if not (isinstance(name, str) and name) or not all(type(n) is int and n > 0 for n in shape):
                raise CodeError(
                    f"{self.code.source}: named_shapes gives ({name!r}, {shape!r}): a text and numbers of at least 1"
                )
        names = [name for name, _ in shapes]
        if taken := [name for name in names if name in TAKEN or names.count(name) > 1]:
            raise CodeError(
                f"{self.code.source}: named_shapes gives the name {taken[0]!r} twice, or it is ours"
            )
        if not names:
            raise CodeError(f"{self.code.source}: named_shapes gives nothing to be trained")
        return shapes


def _default(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Weights [outputs, inputs] ~ N(0, 1 / inputs); vectors and single numbers 0."""
    if len(shape) < 2:
        return torch.zeros(shape)
    return torch.zeros(shape).normal_(std=1 / math.sqrt(shape[-1]), generator=generator)


def _tensors(given: Any) -> dict[str, Tensor]:
    named = given if isinstance(given, Mapping) else {}
    return {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no tensors by name"


def _kind(result: Any) -> str:
    if isinstance(result, tuple):
        return f"({', '.join(type(part).__name__ for part in result)})"
    return type(result).__name__
