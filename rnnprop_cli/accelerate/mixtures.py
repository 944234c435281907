"""A mixture of directions, under a law or not, in one call of the compiled kernel.

Shape legend: C cells, P coordinates, G tensors, Q meta-params.
"""

from collections.abc import Callable
from ctypes import CDLL
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnprop_cli.components.law import NUMBERS, Law, initial_sizes
from rnnprop_cli.components.learned.law import LawRule
from rnnprop_cli.components.learned.mixture import Averages, MixtureRule
from rnnprop_cli.components.optimizers.base import Given
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.cpu_library import load_library
from rnnprop_cli.kernels.cpu_mixture import MixtureNumbers, step_side_by_side
from rnnprop_cli.kernels.passes import FusedPasses


class MixedState(NamedTuple):
    """State of a mixture."""

    steps: int  # done
    averages: Averages
    shares: NDArray[np.float32]  # [C, G] of the rate
    direction_CP: Tensor  # memory to work in


def compiled_mixture(kernel: Kernel, like: Tensor) -> CDLL | None:
    """The library that steps mixtures on tensors like this one; None where none does."""
    passes: FusedPasses | None = kernel.passes
    return load_library() if passes is not None and like.is_cpu and passes.fits(like[None]) else None


class MixedOptimizer:
    """What `MixtureRule`, and `LawRule` over it, define, for use (no graph).

    Args:
        rule: either.
        meta_params_CQ: [C, Q] those of each cell, or [1, Q] of all.
        given: rates or factors of the law, horizon and shapes.
        library: the compiled kernel.
        factor: schedule, from the steps done to a factor; None: none.
    """

    def __init__(
        self,
        rule: LawRule | MixtureRule,
        meta_params_CQ: Tensor,
        given: Given,
        library: CDLL,
        factor: Callable[[int], float] | None = None,
    ) -> None:
        meta_params_CQ = meta_params_CQ.expand(len(given.lr_C), -1)
        base = rule
        self.law: Law | None = None
        if isinstance(rule, LawRule):
            assert isinstance(rule.base, MixtureRule), "other directions have no such step"
            base = rule.base
            self.law = Law.of(meta_params_CQ[:, : len(NUMBERS)])
            meta_params_CQ = meta_params_CQ[:, len(NUMBERS) :]
        assert isinstance(base, MixtureRule), "a law is over one direction"
        self.base, self.given, self.library, self.factor = base, given, library, factor
        self.numbers = MixtureNumbers.of([base.named(each_Q) for each_Q in meta_params_CQ])
        self.sizes = np.array([prod(shape) for shape in given.shapes], dtype=np.int64)

    def init(self, params_CP: Tensor) -> MixedState:
        """See `Optimizer`."""
        shapes, shares = self.given.shapes, np.ones((len(params_CP), len(self.sizes)), dtype=np.float32)
        if self.law is not None:
            shares = self.law.shares(initial_sizes(params_CP, shapes)).numpy().astype(np.float32)
        return MixedState(0, self.base.init(params_CP, shapes), shares, torch.empty_like(params_CP))

    def update(
        self, grads_CP: Tensor, state: MixedState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, MixedState]:
        """See `Optimizer`."""
        if not donate:
            m_KCP, v_CP = state.averages
            state = state._replace(
                averages=Averages(m_KCP.clone(), v_CP.clone()), direction_CP=torch.empty_like(params_CP)
            )
        moved_CP = params_CP.clone()
        state = self.advance(grads_CP, state, moved_CP)
        return moved_CP.sub_(params_CP), state

    def advance(self, grads_CP: Tensor, state: MixedState, params_CP: Tensor) -> MixedState:
        """See `Optimizer`."""
        t = state.steps + 1
        rate_C, kept_C = self.given.lr_C.double(), np.ones(len(params_CP))
        if self.law is not None:
            rate_C = rate_C * self.law.rate(t, self.given.horizon)
        if self.factor is not None:
            rate_C = rate_C * self.factor(state.steps)
        if self.law is not None:
            kept_C = (1 - rate_C * self.law.decay()).numpy()
        numbers = self.numbers.packed(np.full(len(params_CP), t), rate_C.numpy(), kept_C)
        m_KCP, v_CP = state.averages
        tensors = (params_CP, grads_CP.contiguous(), m_KCP, v_CP, state.direction_CP)
        step_side_by_side(self.library, numbers, self.base.hidden, self.sizes, state.shares, tensors)
        return state._replace(steps=t)

    def evaluated(self, params_CP: Tensor, state: MixedState) -> Tensor:
        """See `Optimizer`."""
        return params_CP
