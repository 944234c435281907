"""What every optimizee offers, and the parts that most of them share.

Shape legend: S seeds, C cells (C = S K, seed-major), P coordinates, M minibatch, D inputs, O classes, T steps.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rnnprop_cli.numerics.layout import Layout, MatrixBlock


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

    def tensors(self, steps: int) -> tuple[Tensor, ...] | None:
        """What the losses of the steps 0 … steps - 1 are made of besides the params, in a fixed order.

        Recordings of these steps read this memory: it stays where it is, and to write another optimizee's tensors
        into it makes these losses that optimizee's. Nobody else may read it.

        Returns:
            The tensors; None where they cannot be had, as when minibatches are drawn between these steps.
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

    def tensors(self, steps: int) -> tuple[Tensor, ...] | None:
        """See `Optimizee`: None unless a subclass knows."""
        return None

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
