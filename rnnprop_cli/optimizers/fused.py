"""Classical rules in one pass over memory, where the kernel offers it; `baselines.py` defines them.

A rule in PyTorch reads and writes whole vectors eight times or so; the arithmetic is nothing beside it.
"""

from typing import NamedTuple

from torch import Tensor

from rnnprop_cli.kernels.passes import FusedPasses
from rnnprop_cli.optimizers.baselines import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Baseline,
    Momentum,
    NAdam,
    RMSprop,
    Rule,
    RuleState,
)


class FusedForm(NamedTuple):
    """One step of a rule as `FusedPasses.rule_step` takes it."""

    rule: str
    coefficients: tuple[float, ...]
    scalar: float = 1.0  # the rule's next `RuleState.scalar`


def fused_form(rule: Rule, state: RuleState) -> FusedForm | None:
    """The coefficients of step t = state.steps + 1; None for a rule that has no fused form."""
    t = state.steps + 1
    match rule:
        case SGD():
            return FusedForm("sgd", ())
        case Momentum():
            kind = "nesterov" if rule.nesterov else "momentum"
            return FusedForm(kind, (rule.momentum, 1 - rule.dampening))
        case Adagrad():
            at_rest = rule.initial_accumulator == 0 and rule.eps == 0
            return FusedForm("adagrad", (rule.eps, float(at_rest)))
        case Adadelta():
            return FusedForm("adadelta", (rule.rho, 1 - rule.rho, rule.eps))
        case RMSprop():
            kind = "rmsprop inside" if rule.eps_inside_root else "rmsprop outside"
            return FusedForm(kind, (rule.decay, 1 - rule.decay, rule.eps))
        case Adam():
            root = (1 - rule.beta2**t) ** 0.5
            moments = (1 - rule.beta1, rule.beta2, 1 - rule.beta2, 1 / root, rule.eps)
            return FusedForm("adam", (*moments, 1 / (1 - rule.beta1**t), rule.weight_decay))
        case NAdam():
            mu, mu_next = rule.momenta(t)
            product = state.scalar * mu
            root = (1 - rule.beta2**t) ** 0.5
            moments = (1 - rule.beta1, rule.beta2, 1 - rule.beta2, 1 / root, rule.eps)
            factors = ((1 - mu) / (1 - product), mu_next / (1 - product * mu_next))
            return FusedForm("nadam", (*moments, *factors, rule.weight_decay), product)
    return None


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
        form = fused_form(self.plain.rule, state)
        if form is None or not all(self.passes.fits(tensor) for tensor in (grads_CP, params_CP)):
            return self.plain.advance(grads_CP, state, params_CP)
        rate_C = self.plain.lr_C * self.plain.factor(state.steps)
        self.passes.rule_step(form.rule, form.coefficients, rate_C, grads_CP, state.slots_CP, params_CP)
        return RuleState(state.steps + 1, state.slots_CP, form.scalar)

    def evaluated(self, params_CP: Tensor, state: RuleState) -> Tensor:
        """See `Optimizer`."""
        return params_CP
