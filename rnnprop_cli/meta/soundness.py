"""Whether a learned optimizer can be meta-trained, found out on a small problem before anything is begun.

Shape legend: C cells, P coordinates, Q meta-params.
"""

from __future__ import annotations

from math import prod
from typing import Any, Final

import torch
from torch import Tensor

from rnnprop_cli.components.learned.base import Architecture, Context
from rnnprop_cli.errors import CodeError
from rnnprop_cli.numerics.trees import form, leaves, with_tensors

SHAPES: Final = ((3, 4), (4,), ())  # of the tensors of the problem
CELLS: Final = 2
STEPS: Final = 3
HORIZON: Final = 20
# A cell alone against the same cell in company: float64, but sums may come in another order.
TOLERANCE: Final = 1e-9
F64: Final = torch.float64
CPU: Final = torch.device("cpu")


def check_architecture(architecture: Architecture, name: str, alpha: float) -> None:
    """Takes a few steps and looks at them.

    Args:
        architecture: the learned optimizer.
        name: what the user calls it.
        alpha: its learning rate.

    Raises:
        CodeError: it cannot be trained; says why.
    """
    first, again = (architecture.start(0, F64, CPU) for _ in range(2))
    if not torch.equal(first, again):
        raise CodeError(
            f"{name}: init_meta_params gives other numbers the second time: draw from its generator"
        )
    if not first.isfinite().all():
        raise CodeError(f"{name}: init_meta_params gives NaN or infinity")
    whole, grad_Q = _Trial(architecture, name, alpha).run(first, slice(0, CELLS))
    for one, other in zip(
        whole, _Trial(architecture, name, alpha).run(first, slice(0, CELLS))[0], strict=True
    ):
        if not torch.equal(one, other):
            raise CodeError(
                f"{name}: the same step gives other updates the second time: nothing may be drawn or kept in it"
            )
    if grad_Q is None:
        raise CodeError(
            f"{name}: the updates do not depend on the meta-params, so that nothing can be learned"
        )
    if not grad_Q.isfinite().all():
        raise CodeError(
            f"{name}: the gradient with respect to the meta-params is NaN or infinite after {STEPS} steps"
        )
    if not grad_Q.any():
        raise CodeError(
            f"{name}: the gradient with respect to all meta-params is 0 at the start, so that it stays there"
        )
    alone, _ = _Trial(architecture, name, alpha).run(first, slice(1, CELLS))
    for one, other in zip(whole, alone, strict=True):
        if not torch.allclose(one[1:], other, rtol=TOLERANCE, atol=TOLERANCE):
            raise CodeError(
                f"{name}: a cell takes other steps in company than alone: sum over coordinates (the last dimension), "
                "never over cells (the first)"
            )


class _Trial:
    """A few steps by given gradients."""

    def __init__(self, architecture: Architecture, name: str, alpha: float) -> None:
        self.architecture, self.name, self.alpha = architecture, name, alpha

    def run(self, meta_params_Q: Tensor, cells: slice) -> tuple[list[Tensor], Tensor | None]:
        """The updates, and the gradient of a sum of them; None where they do not depend on the meta-params."""
        generator = torch.Generator().manual_seed(0)
        size = sum(map(prod, SHAPES))
        params_CP = torch.randn(CELLS, size, generator=generator, dtype=F64)[cells]
        grads = torch.randn(STEPS, CELLS, size, generator=generator, dtype=F64)[:, cells]
        weights = torch.randn(STEPS, CELLS, size, generator=generator, dtype=F64)[:, cells]
        rate_C = torch.full((len(params_CP),), self.alpha, dtype=F64)
        leaf = meta_params_Q.clone().requires_grad_()
        state = self.architecture.init(params_CP, SHAPES)
        shape = self._form(state)
        total: Any = 0.0
        updates = []
        with torch.enable_grad():
            for t in range(STEPS):
                context = Context(t + 1, HORIZON, SHAPES, rate_C, grads[t].square().mean(1))
                update_CP, state = self._step(leaf, state, grads[t], params_CP, context)
                if self._form(state) != shape:
                    raise CodeError(
                        f"{self.name}: the state is {self._form(state)} after a step, {shape} before it"
                    )
                updates.append(update_CP.detach())
                total = total + (weights[t] * update_CP).sum()
                params_CP = params_CP + update_CP
            if not total.requires_grad:
                return updates, None
            (grad_Q,) = torch.autograd.grad(total, leaf)
        return updates, grad_Q

    def _step(
        self, leaf: Tensor, state: Any, grads_CP: Tensor, params_CP: Tensor, context: Context
    ) -> tuple[Tensor, Any]:
        meta_params = self.architecture.named(leaf)
        given = (meta_params, state, grads_CP, params_CP, *context[3:])
        before = with_tensors(given, lambda tensor: tensor.detach().clone())
        result = self.architecture.step(meta_params, state, grads_CP, params_CP, context)
        for one, other in zip(leaves(given), leaves(before), strict=True):
            if isinstance(one, Tensor) and not torch.equal(one, other):
                raise CodeError(f"{self.name}: step changes what it is given; make new tensors")
        if not result[0].isfinite().all():
            raise CodeError(f"{self.name}: step {context.t} gives NaN or infinity")
        return result

    def _form(self, state: Any) -> Any:
        try:
            return form(state)
        except TypeError as error:
            raise CodeError(f"{self.name}: {error}") from None
