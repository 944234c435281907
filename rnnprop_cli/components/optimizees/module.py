"""A module of the user's: any torch.nn.Module with a scalar loss on its own data, or on a dataset.

    class TwoLayer(nn.Module):
        def __init__(self, width=32): ...                # `settings` of the spec
        def minibatch(self, generator, size): ...        # tensors of one step; leave out with `dataset = ...`
        def loss(self, inputs, targets): ...             # scalar; with a dataset, forward's outputs are enough
        def heldout(self): ...                           # optional: tensors that training never sees
        def accuracy(self, inputs, targets): ...         # optional: scalar in [0, 1]
        chance_loss = 2.3                                # optional: what knowing nothing costs

Cells are batched by `torch.func.vmap`; a module that it refuses, or for which it gives other numbers, runs cell by
cell. Buffers are constants: what a forward pass writes into them is forgotten, so that a loss is a function of params,
seed and step alone. Randomness inside (dropout) follows from seed and step.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

from pydantic import Field

from rnnprop_cli.components.datasets import DatasetName
from rnnprop_cli.components.optimizees.base import Given, OptimizeeSpec, TensorFacts
from rnnprop_cli.components.optimizees.module_cells import ModuleOptimizee
from rnnprop_cli.components.plugins import Code, CodeSource, Settings, shown
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

PROBE_EXAMPLES: Final = 8


class ModuleSpec(OptimizeeSpec):
    """Loss of a torch.nn.Module from outside."""

    kind: Literal["module"] = "module"
    source: CodeSource  # "my_net.py:TwoLayer", or "package.module:Name"
    settings: Settings = ()  # keyword arguments of the class; a list is an axis
    dataset: DatasetName | None = None  # absent: the module makes its own data
    name: Annotated[str, Field(max_length=60)] = ""  # in tables; absent: that of the class, with its settings

    @property
    def label(self) -> str:
        """See `OptimizeeSpec`."""
        return self.name or self.source.name + shown(self.settings)

    @property
    def dataset_name(self) -> str | None:
        """See `OptimizeeSpec`."""
        return self.dataset

    @property
    def code(self) -> Code:
        """See `OptimizeeSpec`."""
        return self.source

    @property
    def chance_loss(self) -> float | None:
        """See `OptimizeeSpec`: what the class says, else its dataset. Imports it, so that code must be allowed."""
        own = getattr(self.source.load(), "chance_loss", None)
        return super().chance_loss if own is None else float(own)

    def tensors(self) -> list[TensorFacts]:
        """See `OptimizeeSpec`. Makes a module to look at, so that code must be allowed."""
        return list(_facts(self).tensors)

    def numbers_per_example(self) -> int:
        """See `OptimizeeSpec`: what autograd keeps of one minibatch, divided by its size."""
        return _facts(self).kept_per_example

    def rehearse(self, given: Given) -> str | None:
        """See `OptimizeeSpec`."""
        return self.build(given).notice

    def build(self, given: Given) -> ModuleOptimizee:
        """See `OptimizeeSpec`.

        Raises:
            CodeError: the module is not one, or something in it fails.
        """
        return ModuleOptimizee(self, given)


class _Facts(NamedTuple):
    tensors: tuple[TensorFacts, ...]
    kept_per_example: int


@lru_cache(maxsize=64)
def _facts(spec: ModuleSpec) -> _Facts:
    dataset = None
    if spec.dataset is not None:
        from rnnprop_cli.components.datasets import facts_of
        from rnnprop_cli.components.datasets.base import stand_in

        dataset = stand_in(spec.dataset, facts_of(spec.dataset), PROBE_EXAMPLES)
    given = Given(dataset, (0,), PROBE_EXAMPLES, torch.float32, torch.device("cpu"), "replacement")
    optimizee = ModuleOptimizee(spec, given, probe=False)
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        optimizee.loss(optimizee.init_params().requires_grad_(), 0)
    tensors = tuple(TensorFacts(shape, shape[-1] if shape else 1) for shape in optimizee.shapes)
    return _Facts(tensors, max(1, 2 * kept // PROBE_EXAMPLES))
