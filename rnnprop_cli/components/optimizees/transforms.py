"""The paper's two training tricks, as optimizees around optimizees.

Shape legend: S seeds, C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rnnprop_cli.components.optimizees.base import Heldout, Optimizee, Tensors, per_cell
from rnnprop_cli.lazy import torch
from rnnprop_cli.numerics.layout import MatrixBlock
from rnnprop_cli.numerics.sending import sent
from rnnprop_cli.seeds import derive_seed

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class TakesFactors(Protocol):
    """An optimizee that can multiply its params with factors as it reads them."""

    def scaled_loss_and_grad(
        self, params_CP: Tensor, factor_SP: Tensor, step: int
    ) -> tuple[Tensor, Tensor] | None:
        """Loss [C] of factor times params, and its gradient [C, P] with respect to the params; None where it does
        not pay."""
        ...


class RandomScaling:
    """f_c(theta) = f(c theta), theta_0 → theta_0 / c, c = exp(U[-L, L]) per coordinate (section 4.1, equation 2).

    Args:
        inner: the optimizee f.
        bound: L.
        seeds: the inner optimizee's, one factor vector each.
        name: keeps the factors of two scaled optimizees of one seed apart.
    """

    def __init__(self, inner: Optimizee, bound: float, seeds: Sequence[int], name: str) -> None:
        self.inner = inner
        self._theta_0_SP = inner.init_params()
        rows = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(derive_seed(seed, "scaling", name))
            rows.append(torch.rand(inner.n_coordinates, generator=generator) * (2 * bound) - bound)
        factor = torch.stack(rows).exp()
        self.factor_SP = sent(factor, self._theta_0_SP.device, self._theta_0_SP.dtype)

    @property
    def n_coordinates(self) -> int:
        """P of the inner optimizee."""
        return self.inner.n_coordinates

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Those of the inner optimizee."""
        return self.inner.shapes

    @property
    def fan_ins(self) -> tuple[int, ...]:
        """Those of the inner optimizee."""
        return self.inner.fan_ins

    @property
    def matrices(self) -> tuple[MatrixBlock, ...]:
        """See `Optimizee`."""
        return self.inner.matrices

    def init_params(self) -> Tensor:
        """See `Optimizee`."""
        return self._theta_0_SP / self.factor_SP

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        return self.inner.loss(self._factor(params_CP) * params_CP, step)

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`. By the chain rule the gradient is scaled by c too."""
        if isinstance(self.inner, TakesFactors):
            found = self.inner.scaled_loss_and_grad(params_CP, self.factor_SP, step)
            if found is not None:
                return found
        factor_CP = self._factor(params_CP)
        loss_C, grad_CP = self.inner.loss_and_grad(factor_CP * params_CP, step)
        return loss_C, grad_CP.mul_(factor_CP)

    def tensors(self, first: int, steps: int) -> Tensors | None:
        """See `Optimizee`."""
        inner = self.inner.tensors(first, steps)
        return None if inner is None else (self.factor_SP, inner)

    def load(self, first: int, tensors: Tensors) -> None:
        """See `Optimizee`."""
        self.factor_SP, inner = tensors
        self.inner.load(first, inner)

    def mean_loss(self, params_CP: Tensor, horizon: int) -> Tensor:
        """See `Optimizee`."""
        return self.inner.mean_loss(self._factor(params_CP) * params_CP, horizon)

    def heldout(self, params_CP: Tensor) -> Heldout | None:
        """See `Optimizee`."""
        return self.inner.heldout(self._factor(params_CP) * params_CP)

    def _factor(self, params_CP: Tensor) -> Tensor:
        return per_cell(self.factor_SP, len(params_CP))


class Combined:
    """F(theta, x) = f(theta) + g(x) (section 4.2, equation 3), coordinates of f first."""

    def __init__(self, f: Optimizee, g: Optimizee) -> None:
        self.f = f
        self.g = g

    @property
    def n_coordinates(self) -> int:
        """Those of f and of g."""
        return self.f.n_coordinates + self.g.n_coordinates

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Those of f, then those of g."""
        return self.f.shapes + self.g.shapes

    @property
    def fan_ins(self) -> tuple[int, ...]:
        """Those of f, then those of g."""
        return self.f.fan_ins + self.g.fan_ins

    @property
    def matrices(self) -> tuple[MatrixBlock, ...]:
        """Those of f, whose coordinates come first."""
        return self.f.matrices

    def init_params(self) -> Tensor:
        """See `Optimizee`."""
        return torch.cat([self.f.init_params(), self.g.init_params()], dim=1)

    def loss(self, params_CP: Tensor, step: int) -> Tensor:
        """See `Optimizee`."""
        theta_CP, x_CP = self._split(params_CP)
        return self.f.loss(theta_CP, step) + self.g.loss(x_CP, step)

    def loss_and_grad(self, params_CP: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """See `Optimizee`."""
        theta_CP, x_CP = self._split(params_CP)
        f_C, f_grad_CP = self.f.loss_and_grad(theta_CP, step)
        g_C, g_grad_CP = self.g.loss_and_grad(x_CP, step)
        return f_C + g_C, torch.cat([f_grad_CP, g_grad_CP], dim=1)

    def tensors(self, first: int, steps: int) -> Tensors | None:
        """See `Optimizee`."""
        f, g = self.f.tensors(first, steps), self.g.tensors(first, steps)
        return None if f is None or g is None else (f, g)

    def load(self, first: int, tensors: Tensors) -> None:
        """See `Optimizee`."""
        f, g = tensors
        self.f.load(first, f)
        self.g.load(first, g)

    def mean_loss(self, params_CP: Tensor, horizon: int) -> Tensor:
        """See `Optimizee`."""
        theta_CP, x_CP = self._split(params_CP)
        return self.f.mean_loss(theta_CP, horizon) + self.g.mean_loss(x_CP, horizon)

    def heldout(self, params_CP: Tensor) -> Heldout | None:
        """Performance of f alone."""
        return self.f.heldout(self._split(params_CP)[0])

    def _split(self, params_CP: Tensor) -> tuple[Tensor, Tensor]:
        return params_CP[:, : self.f.n_coordinates], params_CP[:, self.f.n_coordinates :]
