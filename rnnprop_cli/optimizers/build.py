"""From a spec to an optimizer: the one visible table."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.passes import FusedPasses
from rnnprop_cli.numerics.layout import MatrixBlock
from rnnprop_cli.optimizers.base import Optimizer
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
)
from rnnprop_cli.optimizers.dm_lstm import DMRule
from rnnprop_cli.optimizers.fused import FusedBaseline
from rnnprop_cli.optimizers.learned import Learned, LearnedRule
from rnnprop_cli.optimizers.lion import Lion
from rnnprop_cli.optimizers.muon import Muon
from rnnprop_cli.optimizers.rnnprop import RNNpropRule
from rnnprop_cli.optimizers.schedule_free import ScheduleFreeAdamW
from rnnprop_cli.optimizers.schedules import build_schedule
from rnnprop_cli.spec.optimizers import (
    AdadeltaSpec,
    AdagradSpec,
    AdamSpec,
    AdamWSpec,
    ClassicalSpec,
    DMSpec,
    LionSpec,
    MomentumSpec,
    MuonSpec,
    NAdamSpec,
    NAdamWSpec,
    RMSpropSpec,
    RNNpropSpec,
    ScheduleFreeAdamWSpec,
    SGDSpec,
)


def build_rule(spec: ClassicalSpec, matrices: Sequence[MatrixBlock] = ()) -> Rule:
    """The classical rule that `spec` describes, where its step is proportional to a direction."""
    match spec:
        case ScheduleFreeAdamWSpec():
            raise ValueError("Schedule-Free AdamW moves the params by more than a direction")
        case SGDSpec():
            return SGD()
        case MomentumSpec():
            return Momentum(spec.momentum, spec.dampening, spec.nesterov)
        case AdagradSpec():
            return Adagrad(spec.initial_accumulator, spec.eps)
        case AdadeltaSpec():
            return Adadelta(spec.rho, spec.eps)
        case RMSpropSpec():
            return RMSprop(spec.decay, spec.eps, spec.eps_inside_root, spec.initial_mean_square)
        case AdamSpec():
            return Adam(spec.beta1, spec.beta2, spec.eps)
        case AdamWSpec():
            return Adam(spec.beta1, spec.beta2, spec.eps, spec.weight_decay)
        case NAdamSpec():
            return NAdam(spec.beta1, spec.beta2, spec.eps, spec.momentum_decay)
        case NAdamWSpec():
            return NAdam(spec.beta1, spec.beta2, spec.eps, spec.momentum_decay, spec.weight_decay)
        case LionSpec():
            return Lion(spec.beta1, spec.beta2, spec.weight_decay)
        case MuonSpec():
            return Muon(matrices, spec.momentum, spec.weight_decay)


def build_baseline(
    spec: ClassicalSpec,
    lr_C: Tensor,
    horizon: int,
    matrices: Sequence[MatrixBlock] = (),
    passes: FusedPasses | None = None,
) -> Optimizer[Any]:
    """A classical optimizer with one learning rate per cell and its schedule over `horizon` steps."""
    if isinstance(spec, ScheduleFreeAdamWSpec):
        betas = (spec.beta1, spec.beta2)
        return ScheduleFreeAdamW(lr_C, round(spec.warmup * horizon), *betas, spec.eps, spec.weight_decay)
    schedule = build_schedule(spec.schedule, horizon, spec.warmup, spec.cooldown)
    plain = Baseline(build_rule(spec, matrices), lr_C, schedule)
    return plain if passes is None else FusedBaseline(plain, passes)


def build_learned_rule(spec: RNNpropSpec | DMSpec) -> LearnedRule:
    """The features and the architecture of a learned optimizer."""
    return RNNpropRule(spec) if isinstance(spec, RNNpropSpec) else DMRule(spec)


def build_learned(
    spec: RNNpropSpec | DMSpec, meta_params_Q: Tensor, alpha_C: Tensor, kernel: Kernel
) -> Optimizer[Any]:
    """A learned optimizer with given meta-params and one alpha per cell."""
    return Learned(build_learned_rule(spec), meta_params_Q, alpha_C, kernel)
