"""Optimizers on a GPU whose numbers lie there, a row for each step, so that their steps can be recorded.

Shape legend: C cells, P coordinates, T steps, K numbers.
"""

from typing import Any

import torch
from torch import Tensor

from rnnprop_cli.accelerate.baselines import FusedBaseline
from rnnprop_cli.accelerate.learned import NetworkOptimizer, fused_step
from rnnprop_cli.accelerate.table import Table, Wrapping
from rnnprop_cli.components.learned.network import LearnedState
from rnnprop_cli.components.optimizers.base import Baseline, Optimizer, RuleState
from rnnprop_cli.components.optimizers.schedule_free import ScheduleFreeAdamW, ScheduleFreeState
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.cuda_passes import RULES, CudaPasses


def with_table(optimizer: Optimizer[Any], kernel: Kernel) -> Optimizer[Any]:
    """The optimizer with its numbers on the device where it has such a form there, else as it is."""
    if isinstance(optimizer, NetworkOptimizer):
        return TabledLearned(optimizer)
    if isinstance(optimizer, ScheduleFreeAdamW):
        return TabledScheduleFree(optimizer)
    if isinstance(optimizer, FusedBaseline) and isinstance(kernel.passes, CudaPasses):
        optimizer = optimizer.plain
        form = optimizer.rule.fused_form(RuleState(0, ()))
        if form is not None and form.rule in RULES:
            return TabledBaseline(optimizer, kernel.passes)
    if isinstance(optimizer, Baseline) and optimizer.rule.timed(1) is not None:
        return TabledRule(optimizer)
    return optimizer


class TabledBaseline(Wrapping[Baseline]):
    """A `Baseline` in float32 on a GPU, one launch a step.

    Args:
        plain: defines the steps.
        passes: take them.
    """

    def __init__(self, plain: Baseline, passes: CudaPasses) -> None:
        super().__init__(plain)
        self._passes = passes
        form = plain.rule.fused_form(RuleState(0, ()))
        assert form is not None, "see `with_table`"
        self.rule = form.rule

    def advance(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> RuleState:
        """See `Optimizer`."""
        table = self.table(state, 1)
        self.advance_by(table.numbers_TK[0].to(params_CP.device), grads_CP, state, params_CP)
        after: RuleState = table.after
        return after

    def table(self, state: RuleState, steps: int) -> Table:
        """See `Tabled`: coefficients of `Rule.fused_form`, and behind them the schedule's factor; float32."""
        rows = []
        for _ in range(steps):
            form = self.plain.rule.fused_form(state)
            assert form is not None, "a rule with a form has one at every step"
            rows.append([*form.coefficients, self.plain.factor(state.steps)])
            state = RuleState(state.steps + 1, state.slots_CP, form.scalar)
        return Table(torch.tensor(rows, dtype=torch.float32), state)

    def advance_by(self, numbers_K: Tensor, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> None:
        """See `Tabled`."""
        self._passes.rule_step_by(self.rule, numbers_K, self.plain.lr_C, grads_CP, state.slots_CP, params_CP)


class TabledRule(Wrapping[Baseline]):
    """A `Baseline` whose rule no program of ours knows, by PyTorch's operations: a recording makes them one launch."""

    def table(self, state: RuleState, steps: int) -> Table:
        """See `Tabled`: the numbers of `Rule.timed`, and behind them the schedule's factor."""
        rows = []
        for count in range(state.steps, state.steps + steps):
            numbers = self.plain.rule.timed(count + 1)
            assert numbers is not None, "see `with_table`"
            rows.append([*numbers, self.plain.factor(count)])
        after = state._replace(steps=state.steps + steps)
        return Table(torch.tensor(rows, dtype=self.plain.lr_C.dtype), after)

    def advance_by(self, numbers_K: Tensor, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> None:
        """See `Tabled`."""
        *numbers, factor = numbers_K.unbind()
        direction_CP = self.plain.rule.direction_by(numbers, grads_CP, state.slots_CP, params_CP)
        params_CP -= direction_CP * (self.plain.lr_C * factor)[:, None]


class TabledScheduleFree(Wrapping[ScheduleFreeAdamW]):
    """Schedule-Free AdamW likewise."""

    def table(self, state: ScheduleFreeState, steps: int) -> Table:
        """See `Tabled`."""
        rows = []
        for _ in range(steps):
            numbers, state = self.plain.timed(state)
            rows.append(numbers)
        return Table(torch.tensor(rows, dtype=self.plain.lr_C.dtype), state)

    def advance_by(
        self, numbers_K: Tensor, grads_CP: Tensor, state: ScheduleFreeState, params_CP: Tensor
    ) -> None:
        """See `Tabled`."""
        params_CP += self.plain.update_by(numbers_K.unbind(), grads_CP, state, params_CP)


class TabledLearned(Wrapping[NetworkOptimizer]):
    """A learned optimizer, of whose step only the rule's numbers change."""

    def table(self, state: LearnedState, steps: int) -> Table:
        """See `Tabled`: the rule's own numbers, and behind them the schedule's factor."""
        rule, dtype = self.plain.rule, self.plain.meta_params_Q.dtype
        first = getattr(state.features, "steps", 0)
        factor = self.plain.factor or (lambda count: 1.0)
        rows = [[*rule.timed(first + t), factor(state.steps + t - 1)] for t in range(1, steps + 1)]
        features = state.features._replace(steps=first + steps) if hasattr(state.features, "steps") else ()
        after = LearnedState(features, state.hidden, state.steps + steps)
        return Table(torch.tensor(rows, dtype=dtype), after)

    def advance_by(self, numbers_K: Tensor, grads_CP: Tensor, state: LearnedState, params_CP: Tensor) -> None:
        """See `Tabled`."""
        plain = self.plain
        passes = plain.kernel.passes
        numbers_K, factor = numbers_K[:-1], numbers_K[-1]
        rate_C = plain.rate_C if plain.factor is None else plain.rate_C * factor
        if passes is not None and all(passes.fits(each) for each in (grads_CP, params_CP, *state.hidden)):
            rest = (grads_CP, state, params_CP, None, numbers_K)
            if fused_step(plain.rule, passes, plain.meta_params_Q, rate_C, *rest) is not None:
                return
        features_FN, _ = plain.rule.timed_features(grads_CP, state.features, numbers_K.unbind(), donate=True)
        output_N, new = plain.kernel.step(
            plain.rule.network, plain.meta_params_Q, features_FN, state.hidden, donate=True
        )
        for own, value in zip(state.hidden, new, strict=True):
            if own is not value:
                own.copy_(value)
        params_CP += output_N.view_as(params_CP) * rate_C[:, None]
