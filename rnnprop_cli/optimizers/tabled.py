"""Classical rules on a GPU whose numbers lie there, a row for each step, so that their steps can be recorded.

Shape legend: C cells, P coordinates, T steps, K numbers.
"""

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.optimizers.base import Optimizer
from rnnprop_cli.optimizers.baselines import Baseline, RuleState
from rnnprop_cli.optimizers.fused import fused_form

BLOCK: Final = 1024  # coordinates of a program
RULES: Final = {
    "sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop inside", "rmsprop outside", "adam", "nadam",
}  # fmt: skip


def with_table(optimizer: Optimizer[Any]) -> Optimizer[Any]:
    """The optimizer with its numbers on the device where it is a `Baseline` that has such a form, else as it is."""
    if not isinstance(optimizer, Baseline):
        return optimizer
    form = fused_form(optimizer.rule, RuleState(0, ()))
    return optimizer if form is None or form.rule not in RULES else TabledBaseline(optimizer)


class Table(NamedTuple):
    """The numbers of some consecutive steps."""

    rule: str
    numbers_TK: Tensor  # [T, K] float32: coefficients as `fused_form` gives them, and behind them the schedule's factor
    after: RuleState  # the state behind these steps (its slots are those before them)


class TabledBaseline:
    """A `Baseline` in float32 on a GPU, one launch a step.

    Args:
        plain: defines the steps.

    Raises:
        DeviceError: triton is not installed.
    """

    def __init__(self, plain: Baseline) -> None:
        from rnnprop_cli.kernels.cuda import import_rules

        self._program = import_rules().rule_program
        self.plain = plain

    def init(self, params_CP: Tensor) -> RuleState:
        """See `Optimizer`."""
        return self.plain.init(params_CP)

    def update(
        self, grads_CP: Tensor, state: RuleState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, RuleState]:
        """See `Optimizer`."""
        return self.plain.update(grads_CP, state, params_CP, donate=donate)

    def advance(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> RuleState:
        """See `Optimizer`."""
        table = self.table(state, 1)
        self.advance_by(table.rule, table.numbers_TK[0].to(params_CP.device), grads_CP, state, params_CP)
        return table.after

    def table(self, state: RuleState, steps: int) -> Table:
        """The numbers of the next steps, on the CPU."""
        rows = []
        rule = ""
        for _ in range(steps):
            form = fused_form(self.plain.rule, state)
            assert form is not None, "a rule with a form has one at every step"
            rule = form.rule
            rows.append([*form.coefficients, self.plain.factor(state.steps)])
            state = RuleState(state.steps + 1, state.slots_CP, form.scalar)
        return Table(rule, torch.tensor(rows, dtype=torch.float32), state)

    def advance_by(
        self, rule: str, numbers_K: Tensor, grads_CP: Tensor, state: RuleState, params_CP: Tensor
    ) -> None:
        """One step by a row of a table on the device: params and slots are overwritten, and nothing else is read."""
        a_CP, b_CP = (*state.slots_CP, params_CP, params_CP)[:2]
        cells, coordinates = params_CP.shape
        blocks = -(-coordinates // BLOCK)
        with torch.cuda.device_of(params_CP):  # type: ignore[no-untyped-call]
            self._program[(cells * blocks,)](
                numbers_K, self.plain.lr_C, grads_CP.contiguous(), a_CP, b_CP, params_CP, coordinates, blocks,
                RULE=rule, K=len(numbers_K) - 1, BLOCK=BLOCK, num_warps=4, enable_fp_fusion=True,
            )  # fmt: skip
