"""A horizon law in use: how long the steps of every parameter are (see `components.law`)."""

from collections.abc import Iterable, Sequence
from math import inf, sqrt
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.components.law import USUAL_INPUTS, USUAL_MATRICES, USUAL_RMS
from rnnprop_cli.components.learned.law import LawRule
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.torch_optim.advice import warn
from rnnprop_cli.torch_optim.sharding import is_sharded

SIZE: Final = "initial_size"  # in the state of a parameter: how large it was against the usual, at most 1
INPUTS: Final = "inputs"  # likewise, where the law goes by it: inputs of a unit of it
MATRICES: Final = (
    "matrices"  # likewise: how many parameters are matrices, or of more axes, when it took its first step
)
PLACE: Final = "place"  # likewise: share of the average in it, where iterates are averaged
# In every param group:
TAKEN: Final = "taken"  # steps of the run so far
COOLING_FROM: Final = "cooling_from"  # steps done when `cool_down` was called
COOLING_STEPS: Final = "cooling_steps"  # steps that were left then; 0: it was not called
CLOCK: Final = (TAKEN, COOLING_FROM, COOLING_STEPS)


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
        rule = weights.rule()
        assert isinstance(rule, LawRule), "other weights have none"
        self._law, self._averaging, _ = rule.parts(weights.meta_params(torch.float64, torch.device("cpu")))
        self._powers: tuple[float, float] | None = None  # of inputs and of matrices
        if self._law.inputs_C is not None and self._law.matrices_C is not None:
            self._powers = float(self._law.inputs_C), float(self._law.matrices_C)
        self._power = float(self._law.share_C.sigmoid())
        self._numbers: dict[tuple[int, int, int], tuple[float, float]] = {}  # of the steps asked for last
        self._warned = False

    @property
    def averages(self) -> bool:
        """Whether iterates are averaged."""
        return self._averaging is not None

    @property
    def looks_at_shapes(self) -> bool:
        """Whether it goes by the shape of the network."""
        return self._powers is not None

    def measure(self, params: Sequence[Tensor], state: dict[Tensor, Any]) -> None:
        """Notes what the law goes by of parameters that take their first step.

        Zeros are as large as those before them, and what has no inputs of its own has theirs.
        """
        size, inputs = 1.0, float(USUAL_INPUTS)
        matrices = max(1.0, float(sum(param.dim() > 1 for param in params)))
        for param in params:
            entries = state[param]
            if SIZE not in entries:
                entries[SIZE] = _size(param) or size
            size = entries[SIZE]
            if self.looks_at_shapes:
                if INPUTS not in entries:
                    own = float(param.shape[1:].numel()) if param.dim() > 1 else 0.0
                    entries[INPUTS], entries[MATRICES] = own or inputs, matrices
                inputs = entries[INPUTS]

    def lengths(self, entries: dict[str, Any], group: dict[str, Any]) -> Lengths:
        """Of the next step of a parameter.

        Args:
            entries: its state.
            group: its param group, whose `lr` is a factor of the law.
        """
        rate, decay = self._rate_and_decay(group[TAKEN] + 1, group[COOLING_FROM], group[COOLING_STEPS])
        rate *= float(group["lr"])
        share = entries[SIZE] ** self._power
        if self._powers is not None:
            of_inputs, of_matrices = self._powers
            share *= (entries[INPUTS] / USUAL_INPUTS) ** -of_inputs
            share *= (entries[MATRICES] / USUAL_MATRICES) ** -of_matrices
        return Lengths(rate * share, rate * (decay + float(group["weight_decay"])))

    def averaged(self, group: dict[str, Any]) -> tuple[float, float]:
        """Of the next step: share of the newest iterate in the average, and of the average in the parameters after it.

        Args:
            group: the param group.
        """
        assert self._averaging is not None, "asked only where iterates are averaged"
        t, cooling = group[TAKEN] + 1, (group[COOLING_FROM], group[COOLING_STEPS])
        _, newest, after = self._averaging.shares(t, self.total_steps)
        ended = _left(t - 1, *cooling) == 0
        return 0.0 if ended else float(newest), 1 - (1 - float(after)) * _left(t, *cooling)

    def _rate_and_decay(self, t: int, cooling_from: int, cooling_steps: int) -> tuple[float, float]:
        at = (t, cooling_from, cooling_steps)
        if at not in self._numbers:
            if len(self._numbers) > 64:
                self._numbers.clear()
            rate = float(self._law.rate(t, self.total_steps))
            rate *= _left(t - 1, cooling_from, cooling_steps)
            if rate == 0 and not self._warned:
                self._warned = True
                end = cooling_from + cooling_steps if cooling_steps else self.total_steps
                warn(
                    f"step {t:,} is behind the last of {end:,}: its length is 0. Give the whole run's total_steps"
                )
            self._numbers[at] = rate, float(self._law.decay(t, self.total_steps))
        return self._numbers[at]


def check_total_steps(value: Any) -> None:
    """Raises ValueError for what is not None or a whole number from 1 on."""
    if value is not None and not (type(value) is int and value > 0):
        raise ValueError(f"total_steps must be a whole number of at least 1, not {value!r}")


def check_saved(
    groups: Iterable[dict[str, Any]], entries: Iterable[dict[str, Any]], law: HorizonLaw | None
) -> None:
    """Raises ValueError for what no optimizer under this law, or under none, can have saved."""
    for group in groups:
        for name in CLOCK:
            value = group.get(name, 0)
            if type(value) is not int or value < 0:
                raise ValueError(f"{name} of a param group is {value!r}, not a number of steps")
        taken, total = group.get(TAKEN, 0), None if law is None else law.total_steps
        if total is not None and taken > total:
            raise ValueError(
                f"the state was saved after {taken:,} steps, and total_steps is {total:,}: give that of the whole run"
            )
    for each in entries:
        size = each.get(SIZE)
        if law is not None and not (isinstance(size, float) and 0 < size <= 1):
            raise ValueError(f"{SIZE} of a parameter is {size!r}, not a number above 0 and up to 1")
        for name in (INPUTS, MATRICES):
            count = each.get(name)
            if (
                law is not None
                and law.looks_at_shapes
                and not (isinstance(count, float) and 1 <= count < inf)
            ):
                raise ValueError(f"{name} of a parameter is {count!r}, not a number of at least 1")
        place = each.get(PLACE)
        if law is not None and law.averages and not (isinstance(place, float) and 0 < place <= 1):
            raise ValueError(f"{PLACE} of a parameter is {place!r}, not a number above 0 and up to 1")


def cool_down(groups: Iterable[dict[str, Any]], steps: int) -> None:
    """From the next step on the rate falls linearly to 0 over `steps` steps; see `RNNprop.cool_down`."""
    if type(steps) is not int or steps < 1:
        raise ValueError(f"cool_down takes a whole number of steps, at least 1, not {steps!r}")
    for group in groups:
        group[COOLING_FROM], group[COOLING_STEPS] = group[TAKEN], steps


def _left(steps: int, cooling_from: int, cooling_steps: int) -> float:
    """Share of `cool_down` that is to come after so many steps."""
    if not cooling_steps:
        return 1.0
    return min(1.0, max(0.0, (cooling_from + cooling_steps - steps) / cooling_steps))


def _size(param: Tensor) -> float:
    """Root mean square of a parameter against the usual, at most 1; 0 for zeros and for nothing."""
    if not param.numel():
        return 0.0
    mean = param.detach().float().square().mean()
    if is_sharded(mean):
        mean = mean.full_tensor()  # type: ignore[attr-defined]
    return min(1.0, sqrt(float(mean)) / USUAL_RMS)
