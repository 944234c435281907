"""RNNprop (section 4.3 of the paper).

Shape legend: C cells, P coordinates, N = C P, F = 2 features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.kernels.network import Network
from rnnprop_cli.kernels.passes import FusedPasses, RelativeInputs, TensorSteps
from rnnprop_cli.optimizers.learned import LearnedState
from rnnprop_cli.spec.optimizers import RNNpropSpec


class Moments(NamedTuple):
    """Moving averages of the gradient."""

    steps: int  # gradients seen
    m_CP: Tensor  # [C, P] first moment
    v_CP: Tensor  # [C, P] second raw moment


class RNNpropRule:
    """Relative gradients in, bounded steps out.

    m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, both divided by 1 - beta^t as in Adam;
    g~ = g / (sqrt(v^) + eps), m~ = m^ / (sqrt(v^) + eps) (equations 8 and 9);
    [g~, m~] → Linear + ELU → two LSTM layers → Linear → x_out; theta <- theta - alpha tanh(x_out) (equation 7).

    The text of the paper writes the step with a plus; the authors' code subtracts it, and so do we, which keeps the
    sign of published weights. The order of the inputs is the code's too.
    """

    sign = -1.0
    fuses_tensors = True

    def __init__(self, spec: RNNpropSpec) -> None:
        self.beta1, self.beta2, self.eps = spec.beta1, spec.beta2, spec.eps
        self.network = Network(
            features=2, embedding=spec.embedding, hidden=spec.hidden, layers=spec.layers, bounded=True
        )

    def init(self, params_CP: Tensor) -> Moments:
        """See `LearnedRule`."""
        return Moments(0, torch.zeros_like(params_CP), torch.zeros_like(params_CP))

    def features(self, grads_CP: Tensor, state: Moments, *, donate: bool) -> tuple[Tensor, Moments]:
        """See `LearnedRule`."""
        return self.timed_features(grads_CP, state, self.timed(state.steps + 1), donate=donate)

    def timed(self, t: int) -> tuple[float, ...]:
        """See `TimedRule`: what m and v are divided by."""
        return 1 - self.beta1**t, 1 - self.beta2**t

    def timed_features(
        self, grads_CP: Tensor, state: Moments, numbers: Sequence[float | Tensor], *, donate: bool
    ) -> tuple[Tensor, Moments]:
        """See `TimedRule`."""
        of_m, of_v = numbers
        m_CP, v_CP = (state.m_CP, state.v_CP) if donate else (state.m_CP.clone(), state.v_CP.clone())
        m_CP.lerp_(grads_CP, 1 - self.beta1)
        v_CP.mul_(self.beta2).addcmul_(grads_CP, grads_CP, value=1 - self.beta2)
        scale_CP = (v_CP / of_v).sqrt_().add_(self.eps).reciprocal_()
        features_FCP = grads_CP.new_empty(2, *grads_CP.shape)
        torch.mul(grads_CP, scale_CP, out=features_FCP[0])
        torch.mul(m_CP, scale_CP, out=features_FCP[1]).div_(of_m)
        return features_FCP.flatten(1), Moments(state.steps + 1, m_CP, v_CP)

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
        """See `TimedRule`."""
        moments: Moments = state.features
        inputs = RelativeInputs(self.beta1, self.beta2, self.eps, moments.steps + 1, numbers_K)
        passes.relative_step(
            self.network,
            meta_params_Q,
            inputs,
            grads_CP,
            moments.m_CP,
            moments.v_CP,
            state.hidden,
            rate_C,
            params_CP,
            features_FN,
        )
        return LearnedState(moments._replace(steps=inputs.t), state.hidden)

    def fused_steps(self, passes: FusedPasses, meta_params_Q: Tensor, tensors: TensorSteps) -> None:
        """See `LearnedRule`."""
        passes.relative_steps(self.network, meta_params_Q, self.beta1, self.beta2, self.eps, tensors)
