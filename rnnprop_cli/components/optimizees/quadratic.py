"""The paper's convex function (section 4.2, equation 4).

Shape legend: S seeds, C cells, n dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from rnnprop_cli.components.optimizees.base import (
    Base,
    Given,
    OptimizeeSpec,
    TensorFacts,
    Tensors,
    per_cell,
)
from rnnprop_cli.fields import PositiveInt
from rnnprop_cli.lazy import no_grad, torch
from rnnprop_cli.numerics.sending import sent
from rnnprop_cli.seeds import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

CLIP: Final = 10.0  # bound of every squared distance in the authors' code


class QuadraticSpec(OptimizeeSpec):
    """The paper's convex function g(x) = mean_i (x_i - v_i)^2, v ~ U[-1, 1]^n (equation 4), x_0 = 0."""

    kind: Literal["quadratic"] = "quadratic"
    dimension: PositiveInt = 20

    @property
    def label(self) -> str:
        """See `OptimizeeSpec`."""
        return f"quadratic {self.dimension}"

    def tensors(self) -> list[TensorFacts]:
        """See `OptimizeeSpec`."""
        return [TensorFacts((self.dimension,), 1)]

    def numbers_per_example(self) -> int:
        """See `OptimizeeSpec`."""
        return self.dimension

    def build(self, given: Given) -> Quadratic:
        """See `OptimizeeSpec`."""
        return Quadratic(self.dimension, given.seeds, given.dtype, given.device)


class Quadratic(Base):
    """g(x) = mean_i min((x_i - v_i)^2, clip), v ~ U[-1, 1]^n, deterministic in the step.

    x starts at zero as in the authors' code; the paper's text says at random.
    """

    def __init__(
        self,
        dimension: int,
        seeds: Sequence[int],
        dtype: torch.dtype,
        device: torch.device,
        clip: float = CLIP,
    ) -> None:
        self.clip = clip
        rows = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(derive_seed(seed, "quadratic"))
            rows.append(torch.rand(dimension, generator=generator) * 2 - 1)
        self.target_Sn = sent(torch.stack(rows), device, dtype)

    @property
    def n_coordinates(self) -> int:
        """The dimension n."""
        return self.target_Sn.shape[1]

    def init_params(self) -> Tensor:
        """See `Optimizee`."""
        return torch.zeros_like(self.target_Sn)

    def tensors(self, first: int, steps: int) -> Tensors | None:
        """See `Optimizee`."""
        return (self.target_Sn,)

    def load(self, first: int, tensors: Tensors) -> None:
        """See `Optimizee`."""
        (self.target_Sn,) = tensors

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        distance_CP = params_CP - per_cell(self.target_Sn, len(params_CP))
        return distance_CP.square().clamp(max=self.clip).mean(1)

    @no_grad
    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`. At the clip itself autograd lets the gradient through, and so does this."""
        distance_CP = params_CP - per_cell(self.target_Sn, len(params_CP))
        square_CP = distance_CP.square()
        grad_CP = distance_CP.mul_(2 / distance_CP.shape[1]).masked_fill_(square_CP > self.clip, 0.0)
        return square_CP.clamp_(max=self.clip).mean(1), grad_CP
