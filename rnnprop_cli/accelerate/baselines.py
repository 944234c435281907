"""Classical rules in one pass over memory, where the kernel offers it; `baselines.py` defines them.

A rule in PyTorch reads and writes whole vectors eight times or so; the arithmetic is nothing beside it.
"""

from torch import Tensor

from rnnprop_cli.components.optimizers.base import Baseline, RuleState
from rnnprop_cli.kernels.passes import FusedPasses


class FusedBaseline:
    """A `Baseline` that takes its steps in place in one pass.

    Args:
        plain: defines the steps, and takes those that the passes cannot.
        passes: of the kernel.
    """

    def __init__(self, plain: Baseline, passes: FusedPasses) -> None:
        self.plain = plain
        self.passes = passes

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
        form = self.plain.rule.fused_form(state)
        if form is None or not all(self.passes.fits(tensor) for tensor in (grads_CP, params_CP)):
            return self.plain.advance(grads_CP, state, params_CP)
        rate_C = self.plain.lr_C * self.plain.factor(state.steps)
        self.passes.rule_step(form.rule, form.coefficients, rate_C, grads_CP, state.slots_CP, params_CP)
        return RuleState(state.steps + 1, state.slots_CP, form.scalar)

    def evaluated(self, params_CP: Tensor, state: RuleState) -> Tensor:
        """See `Optimizer`."""
        return params_CP
