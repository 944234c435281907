"""A horizon law in use: how long the steps of every parameter are (see `components.law`)."""

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.components.law import USUAL_RMS, Law
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.torch_optim.advice import warn
from rnnprop_cli.torch_optim.sharding import is_sharded
from rnnprop_cli.torch_optim.state import STEP

SIZE: Final = "initial_size"  # in the state of a parameter: how large it was against the usual, at most 1
COOLING: Final = (
    "cooling"  # in a param group: [steps done, steps to go] when `cool_down` was called; None: never
)


class Lengths(NamedTuple):
    """How long one step is."""

    rate: float  # what the direction is multiplied with
    decay: float  # decoupled weight decay of the law, times the rate without the parameter's share


class HorizonLaw:
    """A law with its horizon.

    Args:
        weights: of the architecture "law".
        total_steps: T; None: the end is not known.
    """

    def __init__(self, weights: Weights, total_steps: int | None) -> None:
        self.total_steps = total_steps
        self._law = Law.of(torch.from_numpy(weights.tensors["law"]).double())
        self._decay = float(self._law.decay())
        self._rates: dict[tuple[int, Any], float] = {}  # of the steps asked for last
        self._warned = False

    def measure(self, params: Sequence[Tensor], state: dict[Tensor, Any]) -> None:
        """Notes the initial size of parameters that take their first step; zeros have that of those before them."""
        before = 1.0
        for param in params:
            entries = state[param]
            if SIZE not in entries:
                own = _size(param)
                entries[SIZE] = own or before
            before = entries[SIZE]

    def lengths(self, entries: dict[str, Any], group: dict[str, Any]) -> Lengths:
        """Of the next step of a parameter.

        Args:
            entries: its state.
            group: its param group, whose `lr` is a factor of the law.
        """
        rate = float(group["lr"]) * self._rate(round(float(entries[STEP])) + 1, group.get(COOLING))
        share = float(self._law.shares(torch.tensor([entries[SIZE]], dtype=torch.float64)))
        return Lengths(rate * share, rate * (self._decay + float(group["weight_decay"])))

    def _rate(self, t: int, cooling: Sequence[int] | None) -> float:
        at = (t, None if cooling is None else tuple(cooling))
        if at not in self._rates:
            if len(self._rates) > 64:
                self._rates.clear()
            rate = float(self._law.rate(t, self.total_steps))
            if cooling is not None:
                done, steps = cooling
                rate *= min(1.0, max(0.0, (done + steps + 1 - t) / steps))
            if rate == 0 and not self._warned:
                self._warned = True
                end = self.total_steps if cooling is None else sum(cooling)
                warn(
                    f"step {t:,} is behind the last of {end:,}: its length is 0. Give the whole run's total_steps"
                )
            self._rates[at] = rate
        return self._rates[at]


def check_total_steps(value: Any) -> None:
    """Raises ValueError for what is not None or a whole number from 1 on."""
    if value is not None and not (type(value) is int and value > 0):
        raise ValueError(f"total_steps must be a whole number of at least 1, not {value!r}")


def check_taken(total_steps: int | None, steps: Iterable[Any]) -> None:
    """Raises ValueError where a saved state has taken more steps than there are to be."""
    taken = max((round(float(step)) for step in steps), default=0)
    if total_steps is not None and taken > total_steps:
        raise ValueError(
            f"the state was saved after {taken:,} steps, and total_steps is {total_steps:,}: give that of the whole run"
        )


def cool_down(groups: Iterable[dict[str, Any]], state: dict[Tensor, Any], steps: int) -> None:
    """From the next step on the rate falls linearly to 0 over `steps` steps; see `RNNprop.cool_down`."""
    if type(steps) is not int or steps < 1:
        raise ValueError(f"cool_down takes a whole number of steps, at least 1, not {steps!r}")
    for group in groups:
        done = max(
            (round(float(state[p][STEP])) for p in group["params"] if STEP in state.get(p, ())), default=0
        )
        group[COOLING] = [done, steps]


def _size(param: Tensor) -> float:
    """Root mean square of a parameter against the usual, at most 1; 0 for zeros and for nothing."""
    if not param.numel():
        return 0.0
    mean = param.detach().float().square().mean()
    if is_sharded(mean):
        mean = mean.full_tensor()  # type: ignore[attr-defined]
    return min(1.0, sqrt(float(mean)) / USUAL_RMS)
