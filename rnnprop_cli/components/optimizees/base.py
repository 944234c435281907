"""What every optimizee offers: its settings to those who plan, its losses to those who compute.

Shape legend: S seeds, C cells (C = S K, seed-major), P coordinates, M minibatch, D inputs, O classes, T steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from pydantic import SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from rnnprop_cli.components.datasets import dataset_code, dataset_label, facts_of
from rnnprop_cli.errors import UsageError
from rnnprop_cli.fields import Sampling, Spec
from rnnprop_cli.lazy import no_grad, torch
from rnnprop_cli.numerics.layout import Layout, MatrixBlock
from rnnprop_cli.records import with_activation

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.datasets import Dataset
    from rnnprop_cli.components.plugins import Code

Tensors = tuple[Any, ...]  # of tensors, or again such tuples

_NEVER = object()  # equals no value of a setting


class TensorFacts(NamedTuple):
    """A tensor of an optimizee's params."""

    shape: tuple[int, ...]
    # inputs of a unit, which torch.nn's default initial values go by; 0: they are zero
    fan_in: int
    uses: int = 1  # how often an example's forward pass multiplies with each of its numbers


class Given(NamedTuple):
    """What an optimizee is built from besides its settings."""

    dataset: Dataset | None  # the one that the settings name
    seeds: Sequence[int]  # S; each fixes theta_0 and all minibatches of its cells
    minibatch: int  # M, examples per step
    dtype: torch.dtype  # of params and data
    device: torch.device  # of params and data
    sampling: Sampling = "epochs"  # how minibatches are drawn from the dataset


class OptimizeeSpec(Spec, ABC):
    """Settings of an optimizee. A subclass names its `kind`, and answers all but `build` without PyTorch.

    Attributes:
        later: settings that the kind got after results of it had been recorded. Where one has its default, it is left
            out of what identifies a cell, so that those results are still found.
    """

    kind: str
    later: ClassVar[frozenset[str]] = frozenset()

    @property
    @abstractmethod
    def label(self) -> str:
        """Short name for tables, which have columns of their own for dataset, depth and activation."""

    @property
    def network(self) -> str:
        """The label with the activation, for lines of text."""
        return with_activation(self.label, self.nonlinearity)

    @property
    def dataset_name(self) -> str | None:
        """The dataset that it needs; None where it makes its own data."""
        return None

    @property
    def dataset_label(self) -> str | None:
        """What tables call that dataset."""
        return None if self.dataset_name is None else dataset_label(self.dataset_name)

    @property
    def chance_loss(self) -> float | None:
        """Loss of guessing among all classes alike; None where there are no classes."""
        return None if self.dataset_name is None else facts_of(self.dataset_name).chance_loss

    @property
    def n_layers(self) -> int | None:
        """How deep it is: hidden layers, recurrent layers, convolutions."""
        return None

    @property
    def nonlinearity(self) -> str | None:
        """Activation function of the hidden units."""
        return None

    @property
    def code(self) -> Code | None:
        """What it runs that is not ours, its dataset's included."""
        return None if self.dataset_name is None else dataset_code(self.dataset_name)

    def rehearse(self, given: Given) -> str | None:
        """Tries what it runs that is not ours, before anything is recorded.

        Returns:
            One line that somebody should read.

        Raises:
            CodeError: it does not work.
            UsageError: its settings do not fit its dataset.
        """
        if (found := self.misfit()) is not None:
            raise UsageError(f"{self.label}: {found[0]} {found[1]}")
        return None

    def misfit(self) -> tuple[str, str] | None:
        """Where settings and dataset do not fit together: the guilty setting, and what is wrong with it."""
        return None

    @abstractmethod
    def tensors(self) -> list[TensorFacts]:
        """Its params in the order of the flat vector."""

    @abstractmethod
    def numbers_per_example(self) -> int:
        """What the forward and backward pass of one example hold, roughly."""

    @abstractmethod
    def build(self, given: Given) -> Optimizee:
        """The optimizee, bound to its data and seeds.

        Raises:
            UsageError: an epoch of the dataset is smaller than a minibatch.
        """

    @property
    def n_coordinates(self) -> int:
        """P."""
        return sum(prod(tensor.shape) for tensor in self.tensors())

    @property
    def multiplications(self) -> int:
        """Multiply-adds of the forward pass of one example."""
        return sum(tensor.uses * prod(tensor.shape) for tensor in self.tensors())

    @model_serializer(mode="wrap")
    def _told(self, whole: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        plain: dict[str, Any] = whole(self)
        if not info.context or not info.context.get("identity"):
            return plain
        defaults = {name: type(self).model_fields[name].default for name in self.later}
        return {name: value for name, value in plain.items() if value != defaults.get(name, _NEVER)}


class Heldout(NamedTuple):
    """Performance on data that training never sees."""

    loss_C: Tensor  # [C]
    accuracy_C: Tensor | None  # [C] in [0, 1]; None for regression


class Optimizee(Protocol):
    """A stochastic function of (params, step) for every cell of a batch."""

    @property
    def n_coordinates(self) -> int:
        """P."""
        ...

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors that the flat vector is made of, in their order."""
        ...

    @property
    def fan_ins(self) -> tuple[int, ...]:
        """Inputs of a unit of each tensor, 0: none of its own."""
        ...

    @property
    def matrices(self) -> tuple[MatrixBlock, ...]:
        """Weight matrices but for the output layer's, for the rules that treat matrices as such."""
        ...

    def init_params(self) -> Tensor:
        """theta_0 of every seed, [S, P]."""
        ...

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """[C] loss on the minibatch of `step`; differentiable with respect to the params."""
        ...

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """[C] loss and [C, P] gradient on the minibatch of `step`, both detached."""
        ...

    def tensors(self, first: int, steps: int) -> Tensors | None:
        """What the losses of the steps first … first + steps - 1 are made of besides the params.

        Returns:
            The tensors, alike for every optimizee of the kind and for any steps of this number; None where they are
            not known.
        """
        ...

    def load(self, first: int, tensors: Tensors) -> None:
        """From now on the losses of the steps from `first` on are read from this memory.

        What is written into it later counts: so a recording of these steps serves other steps and other optimizees.

        Args:
            first: the first step.
            tensors: as `tensors` gave them, perhaps those of other steps or of another optimizee.
        """
        ...

    def mean_loss(self, params_CP: Tensor, horizon: int) -> Tensor:
        """[C] mean of the losses of the steps 0 … horizon-1 with the params frozen: the paper's final loss."""
        ...

    def heldout(self, params_CP: Tensor) -> Heldout | None:
        """Performance on the test split; None where there is none."""
        ...


class Base(ABC):
    """Autograd gradient and the plain mean; subclasses give `loss`."""

    @property
    @abstractmethod
    def n_coordinates(self) -> int: ...

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """See `Optimizee`: one vector unless a subclass knows."""
        return ((self.n_coordinates,),)

    @property
    def fan_ins(self) -> tuple[int, ...]:
        """See `Optimizee`."""
        return (0,) * len(self.shapes)

    @property
    def matrices(self) -> tuple[MatrixBlock, ...]:
        """See `Optimizee`."""
        return ()

    @abstractmethod
    def loss(self, params_CP: Tensor, step: int) -> Tensor: ...

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`. Cells do not interact, so the gradient of the sum is the gradient of each."""
        leaf = params_CP.detach().requires_grad_()
        with torch.enable_grad():
            loss_C = self.loss(leaf, step)
            (grad_CP,) = torch.autograd.grad(loss_C.sum(), leaf)
        return loss_C.detach(), grad_CP

    def tensors(self, first: int, steps: int) -> Tensors | None:
        """See `Optimizee`: None unless a subclass knows."""
        return None

    def load(self, first: int, tensors: Tensors) -> None:
        """See `Optimizee`."""
        raise NotImplementedError("an optimizee that gives no tensors takes none")

    @no_grad
    def mean_loss(self, params_CP: Tensor, horizon: int) -> Tensor:
        """See `Optimizee`. Summed in float64, so that 10,000 terms lose nothing."""
        total_C = torch.zeros(len(params_CP), dtype=torch.float64, device=params_CP.device)
        for step in range(horizon):
            total_C += self.loss(params_CP, step)
        return total_C / horizon

    def heldout(self, params_CP: Tensor) -> Heldout | None:
        """See `Optimizee`."""
        return None


class Layered(Base):
    """A network: its tensors lie in one flat vector, theta_0 follows from the seeds."""

    def __init__(
        self,
        tensors: Sequence[TensorFacts],
        seeds: Sequence[int],
        init: str,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.layout = Layout([tensor.shape for tensor in tensors], [tensor.fan_in for tensor in tensors])
        self._theta_0 = seeds, init, dtype, device

    @property
    def n_coordinates(self) -> int:
        """P."""
        return self.layout.n_coordinates

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """See `Optimizee`."""
        return tuple(self.layout.shapes)

    @property
    def fan_ins(self) -> tuple[int, ...]:
        """See `Optimizee`."""
        return tuple(self.layout.fan_ins)

    @property
    def matrices(self) -> tuple[MatrixBlock, ...]:
        """See `Optimizee`."""
        return self.layout.matrices()

    def init_params(self) -> Tensor:
        """See `Optimizee`."""
        return self.layout.init_params(*self._theta_0)


def per_cell(value_S: Tensor, n_cells: int) -> Tensor:
    """Repeats each seed's row for its K cells: [S, ...] → [C, ...]."""
    n_seeds = len(value_S)
    return value_S if n_seeds == n_cells else value_S.repeat_interleave(n_cells // n_seeds, dim=0)
