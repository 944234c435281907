"""What every optimizee offers, and the parts that most of them share.

Shape legend: S seeds, C cells (C = S K, seed-major), P coordinates, M minibatch, D inputs, O classes, T steps.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod, sqrt
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rnnprop_cli.plan.seeds import derive_seed


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

    def init_params(self) -> Tensor:
        """theta_0 of every seed, [S, P]."""
        ...

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """[C] loss on the minibatch of `step`; differentiable with respect to the params."""
        ...

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """[C] loss and [C, P] gradient on the minibatch of `step`, both detached."""
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

    @abstractmethod
    def loss(self, params_CP: Tensor, step: int) -> Tensor: ...

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`. Cells do not interact, so the gradient of the sum is the gradient of each."""
        leaf = params_CP.detach().requires_grad_()
        with torch.enable_grad():
            loss_C = self.loss(leaf, step)
            (grad_CP,) = torch.autograd.grad(loss_C.sum(), leaf)
        return loss_C.detach(), grad_CP

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


class Layout:
    """Where each tensor of a network lies in the flat vector of its coordinates."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], fan_ins: Sequence[int]) -> None:
        self.shapes = [tuple(shape) for shape in shapes]
        self.fan_ins = list(fan_ins)
        self.sizes = [prod(shape) for shape in self.shapes]
        self.n_coordinates = sum(self.sizes)

    def split(self, params_CP: Tensor) -> list[Tensor]:
        """Views [C, *shape] of every tensor."""
        parts = torch.split(params_CP, self.sizes, dim=1)
        return [part.view(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def init_params(
        self, seeds: Sequence[int], init: str, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """theta_0, [S, P]; a pure function of each seed, drawn on the CPU so that every device gets the same.

        Args:
            seeds: one per row.
            init: "paper": every weight and bias ~ Normal(0, std 0.1); "torch": U(-b, b), b = 1/sqrt(fan-in),
                the default of torch.nn's layers.
            dtype: of the result (numbers are drawn in float32).
            device: of the result.
        """
        rows = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(derive_seed(seed, "theta_0"))
            if init == "paper":
                rows.append(0.1 * torch.randn(self.n_coordinates, generator=generator))
            else:
                uniform = torch.rand(self.n_coordinates, generator=generator) * 2 - 1
                bounds = [
                    torch.full((size,), 1 / sqrt(fan_in))
                    for size, fan_in in zip(self.sizes, self.fan_ins, strict=True)
                ]
                rows.append(uniform * torch.cat(bounds))
        return torch.stack(rows).to(device=device, dtype=dtype)
