"""The horizon law: how long steps may be, from how long a run will be and where it stands.

A handful of numbers says it for every task:

    rate(t, T) = exp(log_rate + log_rate_slope ln(T / 1000)) x rise(t, T) x fall(t, T)

`rise` goes linearly to 1 over the first share of the run, `fall` linearly to 0 over the last share,
sigmoid(cooldown + cooldown_slope ln(T / 1000)) of it. Decoupled weight decay follows the rate:

    decay(T) = exp(log_decay + decay_slope ln(T / 1000))

A tensor whose initial values are smaller than those that the
direction was made for, RMS(theta_0) < 0.1, takes steps smaller by (RMS / 0.1)^share; a tensor of zeros, as biases are,
does as the one before it.

Where the law has numbers for the shape of the network, the weights of units of n inputs take steps smaller by
(n / 100)^inputs, since a unit moves by as much as it has inputs; a tensor that has no inputs of its own, as gains have
not, does as the one before it. And of k weight matrices all take steps smaller by (k / 2)^matrices, since a network
moves by as much as it has parts that do.

Shape legend: C cells, G tensors, K numbers of the law.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, prod
from typing import TYPE_CHECKING, Final, NamedTuple

from rnnprop_cli.lazy import torch
from rnnprop_cli.numerics.layout import usual_fan_ins

if TYPE_CHECKING:
    from torch import Tensor

NUMBERS: Final = (
    "log_rate",  # of a run of 1,000 steps
    "log_rate_slope",
    "cooldown",  # logit of the share of a run of 1,000 steps in which the rate falls
    "cooldown_slope",
    "warmup",  # logit of the share of half the run in which it rises
    "share",  # logit of the power of a tensor's initial size
    "log_decay",  # logarithm of weight decay in a run of 1,000 steps
    "decay_slope",
)
USUAL_RMS: Final = 0.1  # of initial values: the paper's
SHAPE_NUMBERS: Final = (
    "inputs",  # power of the number of inputs of a unit
    "matrices",  # power of the number of weight matrices
)
USUAL_INPUTS: Final = 100  # of a unit
USUAL_MATRICES: Final = 2  # of a network
REFERENCE: Final = 1000  # steps
TINY: Final = 1e-30
SHORTEST: Final = 100  # steps that a run without a known end is taken to have at least


class Law(NamedTuple):
    """The numbers of a law, one for each cell."""

    log_rate_C: Tensor
    log_rate_slope_C: Tensor
    cooldown_C: Tensor
    cooldown_slope_C: Tensor
    warmup_C: Tensor
    share_C: Tensor
    log_decay_C: Tensor
    decay_slope_C: Tensor
    # None: the shape of the network has no part in the law
    inputs_C: Tensor | None = None
    matrices_C: Tensor | None = None

    @classmethod
    def of(cls, numbers_CK: Tensor) -> Law:
        """From [C, K], or [K] for all cells alike: `NUMBERS`, and behind them `SHAPE_NUMBERS` where there are any."""
        return cls(*numbers_CK.unbind(-1))

    def expanded(self, cells: int) -> Law:
        """One for each of so many cells."""
        return Law.of(torch.stack([each.expand(cells) for each in self if each is not None], -1))

    def rate(self, t: int, horizon: int | None) -> Tensor:
        """[C] what step t = 1, 2, … is multiplied with.

        Args:
            t: number of the step.
            horizon: T, steps of the run; None where the end is not known: T is then twice the steps so far, at
                least 100, the rise is that of 100 steps, and there is no fall.
        """
        steps = _steps(t, horizon)
        x = log(steps / REFERENCE)
        rate_C = (self.log_rate_C + self.log_rate_slope_C * x).exp()
        rise_C = 0.5 * self.warmup_C.sigmoid() * (SHORTEST if horizon is None else steps)
        rate_C = rate_C * (t / (1 + rise_C)).clamp(max=1)
        if horizon is None:
            return rate_C
        fall_C = ((self.cooldown_C + self.cooldown_slope_C * x).sigmoid() * steps).clamp(min=TINY)
        return rate_C * (max(0, steps - t + 1) / fall_C).clamp(max=1)

    def decay(self, t: int, horizon: int | None) -> Tensor:
        """[C] weight decay of step t = 1, 2, …, to be multiplied with the rate; the arguments are those of `rate`."""
        return (self.log_decay_C + self.decay_slope_C * log(_steps(t, horizon) / REFERENCE)).exp()

    def shares(self, sizes_CG: Tensor, network: NetworkShape) -> Tensor:
        """[C, G] what the steps of each tensor are multiplied with, from its `initial_sizes`."""
        logs_CG = self.share_C.sigmoid()[..., None] * sizes_CG.log()
        if self.inputs_C is not None and self.matrices_C is not None:
            logs_CG = logs_CG - self.inputs_C[..., None] * sizes_CG.new_tensor(network.inputs_G).log()
            logs_CG = logs_CG - self.matrices_C[..., None] * log(network.matrices)
        return logs_CG.exp()


def _steps(t: int, horizon: int | None) -> int:
    """Of the run, as far as anybody knows."""
    return max(2 * t, SHORTEST) if horizon is None else horizon


def initial_sizes(params_CP: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor:
    """[C, G] how large the initial values of every tensor are against the usual, at most 1."""
    sizes = [prod(shape) for shape in shapes]
    before_C = params_CP.new_ones(len(params_CP))
    found = []
    for part_Cn in torch.split(params_CP, sizes, dim=1):
        if part_Cn.shape[1]:
            rms_C = (part_Cn.square().mean(1).sqrt() / USUAL_RMS).clamp(max=1)
            before_C = torch.where(rms_C > 0, rms_C, before_C)
        found.append(before_C)
    return torch.stack(found, 1) if found else params_CP.new_ones(len(params_CP), 0)


class NetworkShape(NamedTuple):
    """What a law knows of a network."""

    inputs_G: tuple[float, ...]  # of a unit of each tensor, against the usual
    matrices: float  # against the usual, at least half of it

    @classmethod
    def of(cls, shapes: Sequence[tuple[int, ...]], fan_ins: Sequence[int] = ()) -> NetworkShape:
        """Of tensors.

        Args:
            shapes: theirs.
            fan_ins: inputs of a unit of each, 0: none of its own; empty: a matrix is [outputs, inputs], as in torch.nn.
        """
        before, inputs = 1.0, []
        for fan_in in fan_ins or usual_fan_ins(shapes):
            before = fan_in / USUAL_INPUTS if fan_in else before
            inputs.append(before)
        return cls(tuple(inputs), max(1, sum(len(shape) > 1 for shape in shapes)) / USUAL_MATRICES)


def spread(per_tensor_CG: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor:
    """[C, P] a number of each tensor at all its coordinates."""
    sizes = torch.tensor([prod(shape) for shape in shapes], device=per_tensor_CG.device)
    return per_tensor_CG.repeat_interleave(sizes, dim=1)
