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

from rnnprop_cli.accelerate.laws import LawfulNumbers
from rnnprop_cli.components.averaging import average_in_place
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
    z_CP: Tensor | None  # the iterates, where they are averaged


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
        self.lawful: LawfulNumbers | None = None
        if isinstance(rule, LawRule):
            assert isinstance(rule.base, MixtureRule), "other directions have no such step"
            base, parts = rule.base, rule.parts(meta_params_CQ)
            self.lawful, meta_params_CQ = LawfulNumbers(parts, given, factor), parts.inner_CQ
        assert isinstance(base, MixtureRule), "a law is over one direction"
        self.base, self.given, self.library, self.factor = base, given, library, factor
        self.numbers = MixtureNumbers.of([base.named(each_Q) for each_Q in meta_params_CQ])
        self.sizes = np.array([prod(shape) for shape in given.shapes], dtype=np.int64)

    def init(self, params_CP: Tensor) -> MixedState:
        """See `Optimizer`."""
        shares, z_CP = np.ones((len(params_CP), len(self.sizes)), dtype=np.float32), None
        if self.lawful is not None:
            shares = self.lawful.lengths(params_CP).numpy().astype(np.float32)
            z_CP = None if self.lawful.averaging is None else params_CP.clone()
        averages = self.base.init(params_CP, self.given.shapes)
        return MixedState(0, averages, shares, torch.empty_like(params_CP), z_CP)

    def update(
        self, grads_CP: Tensor, state: MixedState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, MixedState]:
        """See `Optimizer`."""
        if not donate:
            m_KCP, v_CP = state.averages
            state = state._replace(
                averages=Averages(m_KCP.clone(), v_CP.clone()),
                direction_CP=torch.empty_like(params_CP),
                z_CP=None if state.z_CP is None else state.z_CP.clone(),
            )
        moved_CP = params_CP.clone()
        state = self.advance(grads_CP, state, moved_CP)
        return moved_CP.sub_(params_CP), state

    def advance(self, grads_CP: Tensor, state: MixedState, params_CP: Tensor) -> MixedState:
        """See `Optimizer`."""
        t, cells, shares = state.steps + 1, len(params_CP), None
        if self.lawful is None:
            rate_C = self.given.lr_C.double() * (1.0 if self.factor is None else self.factor(state.steps))
            kept_C = torch.ones_like(rate_C)
        else:
            rate_C1, decay_C1, shares = self.lawful.at(state.steps)
            rate_C, kept_C = rate_C1[:, 0], 1 - decay_C1[:, 0].double()
        numbers = self.numbers.packed(np.full(cells, t), rate_C.numpy(), kept_C.numpy())
        moved_CP = params_CP if state.z_CP is None else params_CP.clone()
        m_KCP, v_CP = state.averages
        tensors = (moved_CP, grads_CP.contiguous(), m_KCP, v_CP, state.direction_CP)
        step_side_by_side(self.library, numbers, self.base.hidden, self.sizes, state.shares, tensors)
        if state.z_CP is not None and shares is not None:
            average_in_place(params_CP, state.z_CP, moved_CP.sub_(params_CP), shares)
        return state._replace(steps=t)

    def evaluated(self, params_CP: Tensor, state: MixedState) -> Tensor:
        """See `Optimizer`."""
        return params_CP
