"""What every optimizee offers, and the parts that most of them share.

Shape legend: S seeds, C cells (C = S K, seed-major), P coordinates, M minibatch, D inputs, O classes, T steps.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from rnnprop_cli.numerics.layout import Layout, MatrixBlock

Tensors = tuple[Any, ...]  # of tensors, or again such tuples


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

    @torch.no_grad()
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
        self, layout: Layout, seeds: Sequence[int], init: str, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.layout = layout
        self._theta_0 = seeds, init, dtype, device

    @property
    def n_coordinates(self) -> int:
        """P."""
        return self.layout.n_coordinates

    @property
    def matrices(self) -> tuple[MatrixBlock, ...]:
        """See `Optimizee`."""
        return self.layout.matrices()

    def init_params(self) -> Tensor:
        """See `Optimizee`."""
        return self.layout.init_params(*self._theta_0)
