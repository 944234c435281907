"""DMoptimizer (Andrychowicz et al. 2016), the learned optimizer that the paper improves on.

Shape legend: C cells, P coordinates, N = C P, F = 2 features.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rnnprop_cli.components.learned.base import ArchitectureSpec
from rnnprop_cli.components.learned.network import NetworkRule
from rnnprop_cli.fields import PositiveFloat
from rnnprop_cli.kernels.network import Network
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


class DMSpec(ArchitectureSpec):
    """DMoptimizer (Andrychowicz et al. 2016) with its log-encoding of the gradient."""

    kind: Literal["dm"] = "dm"
    p: PositiveFloat = 10.0  # gradients below e^-p are encoded linearly
    hidden: Annotated[int, Field(ge=1, le=256)] = 20
    layers: Annotated[int, Field(ge=1, le=4)] = 2

    def build(self) -> DMRule:
        """See `ArchitectureSpec`."""
        return DMRule(self)


class DMRule(NetworkRule):
    """Log-encoded gradients in, unbounded steps out.

    (log(max(|g|, e^-p)) / p, clip(e^p g, -1, 1)) → two LSTM layers → Linear → x_out; theta <- theta + alpha x_out.

    As in the authors' code, the first input is not multiplied by the sign of g; the second carries the sign, and the
    size of gradients below e^-p.
    """

    sign = 1.0

    def __init__(self, spec: DMSpec) -> None:
        self.p = spec.p
        self.network = Network(features=2, embedding=0, hidden=spec.hidden, layers=spec.layers, bounded=False)

    def accumulators(self, params_CP: Tensor) -> tuple[()]:
        """See `NetworkRule`: there is nothing to accumulate."""
        return ()

    def features(self, grads_CP: Tensor, state: tuple[()], *, donate: bool) -> tuple[Tensor, tuple[()]]:
        """See `NetworkRule`."""
        features_FCP = grads_CP.new_empty(2, *grads_CP.shape)
        torch.clamp(grads_CP.abs(), min=exp(-self.p), out=features_FCP[0]).log_().div_(self.p)
        torch.mul(grads_CP, exp(self.p), out=features_FCP[1]).clamp_(-1, 1)
        return features_FCP.flatten(1), state
