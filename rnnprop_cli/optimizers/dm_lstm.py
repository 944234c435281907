"""DMoptimizer (Andrychowicz et al. 2016), the learned optimizer that the paper improves on.

Shape legend: C cells, P coordinates, N = C P, F = 2 features.
"""

from collections.abc import Sequence
from math import exp

import torch
from torch import Tensor

from rnnprop_cli.kernels.network import Network
from rnnprop_cli.kernels.passes import FusedPasses, TensorSteps
from rnnprop_cli.optimizers.learned import LearnedState
from rnnprop_cli.spec.optimizers import DMSpec


class DMRule:
    """Log-encoded gradients in, unbounded steps out.

    (log(max(|g|, e^-p)) / p, clip(e^p g, -1, 1)) → two LSTM layers → Linear → x_out; theta <- theta + alpha x_out.

    As in the authors' code, the first input is not multiplied by the sign of g; the second carries the sign, and the
    size of gradients below e^-p.
    """

    sign = 1.0
    fuses_tensors = False

    def __init__(self, spec: DMSpec) -> None:
        self.p = spec.p
        self.network = Network(features=2, embedding=0, hidden=spec.hidden, layers=spec.layers, bounded=False)

    def init(self, params_CP: Tensor) -> tuple[()]:
        """See `LearnedRule`: there is nothing to accumulate."""
        return ()

    def features(self, grads_CP: Tensor, state: tuple[()], *, donate: bool) -> tuple[Tensor, tuple[()]]:
        """See `LearnedRule`."""
        features_FCP = grads_CP.new_empty(2, *grads_CP.shape)
        torch.clamp(grads_CP.abs(), min=exp(-self.p), out=features_FCP[0]).log_().div_(self.p)
        torch.mul(grads_CP, exp(self.p), out=features_FCP[1]).clamp_(-1, 1)
        return features_FCP.flatten(1), state

    def timed(self, t: int) -> tuple[float, ...]:
        """See `TimedRule`: none."""
        return ()

    def timed_features(
        self, grads_CP: Tensor, state: tuple[()], numbers: Sequence[float | Tensor], *, donate: bool
    ) -> tuple[Tensor, tuple[()]]:
        """See `TimedRule`."""
        return self.features(grads_CP, state, donate=donate)

    def fused_step(
        self,
        passes: FusedPasses,
        meta_params_Q: Tensor,
        rate_C: Tensor,
        grads_CP: Tensor,
        state: LearnedState,
        params_CP: Tensor,
        features_FN: Tensor | None,
        numbers_K: Tensor | None = None,
    ) -> LearnedState | None:
        """See `TimedRule`: there is none."""
        return None

    def fused_steps(self, passes: FusedPasses, meta_params_Q: Tensor, tensors: TensorSteps) -> None:
        """See `LearnedRule`: there is none."""
        raise NotImplementedError
