"""Any learned optimizer with meta-params of its own for every cell, as evolution needs it.

Shape legend: C cells, P coordinates, Q meta-params.
"""

from typing import Any

import torch
from torch import Tensor

from rnnprop_cli.components.learned.base import Architecture, Context, SeesLoss, StepState
from rnnprop_cli.components.optimizers.base import Given
from rnnprop_cli.numerics.trees import leaves, rebuilt


class PopulationOptimizer(SeesLoss):
    """`SteppedOptimizer` for many meta-params at a time, by `torch.vmap` over the cells, or cell by cell.

    Args:
        architecture: whose step it takes.
        meta_params_CQ: [C, Q] those of each cell.
        given: rates, horizon and shapes.
    """

    def __init__(self, architecture: Architecture, meta_params_CQ: Tensor, given: Given) -> None:
        self.architecture, self.meta_params_CQ, self.given = architecture, meta_params_CQ, given
        self._batched = True

    @torch.no_grad()
    def init(self, params_CP: Tensor) -> StepState:
        """See `Optimizer`: the states of the cells, the tensors of which are stacked."""
        states = [self.architecture.init(params_P[None].clone(), self.given.shapes) for params_P in params_CP]
        stacked = [
            torch.stack(parts) if isinstance(parts[0], Tensor) else parts[0]
            for parts in zip(*map(leaves, states), strict=True)
        ]
        return StepState(0, rebuilt(states[0], iter(stacked)))

    @torch.no_grad()
    def update(
        self, grads_CP: Tensor, state: StepState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, StepState]:
        """See `Optimizer`."""
        entries = leaves(state.own)
        at = [index for index, entry in enumerate(entries) if isinstance(entry, Tensor)]
        given = self.given
        loss_C = torch.zeros_like(given.lr_C) if self.loss_C is None else self.loss_C
        after: list[Any] = []

        def step(
            meta_Q: Tensor, grad_P: Tensor, param_P: Tensor, rate: Tensor, loss: Tensor, *own: Tensor
        ) -> tuple[Tensor, ...]:
            filled = list(entries)
            for index, tensor in zip(at, own, strict=True):
                filled[index] = tensor
            known = None if self.loss_C is None else loss[None]
            context = Context(state.steps + 1, given.horizon, given.shapes, rate[None], known, given.fan_ins)
            updates_1P, following = self.architecture.step(
                self.architecture.named(meta_Q),
                rebuilt(state.own, iter(filled)),
                grad_P[None],
                param_P[None],
                context,
            )
            after[:] = leaves(following)
            return updates_1P[0], *(entry for entry in after if isinstance(entry, Tensor))

        tensors = (self.meta_params_CQ, grads_CP, params_CP, given.lr_C, loss_C, *(entries[j] for j in at))
        if self._batched:
            try:
                updates_CP, *own = torch.vmap(step)(*tensors)
            except RuntimeError:  # something in the step has no form for many
                self._batched = False
        if not self._batched:
            updates_CP, *own = (torch.stack(each) for each in zip(*map(step, *tensors), strict=True))
        for index, tensor in zip(at, own, strict=True):
            after[index] = tensor
        return updates_CP, StepState(state.steps + 1, rebuilt(state.own, iter(after)))

    def advance(self, grads_CP: Tensor, state: StepState, params_CP: Tensor) -> StepState:
        """See `Optimizer`."""
        # the state may hold on to the params that it was shown
        updates_CP, state = self.update(grads_CP, state, params_CP.clone())
        params_CP += updates_CP
        return state

    def evaluated(self, params_CP: Tensor, state: StepState) -> Tensor:
        """See `Optimizer`."""
        return params_CP
