"""How long the trajectories of a meta-training are: always alike, one of a list, or anything in a range."""

from collections.abc import Sequence
from math import exp, log
from typing import Annotated, Any, Final, Self

from pydantic import Discriminator, Field, Tag, model_validator

from rnnprop_cli.fields import PositiveInt, Spec

MOST: Final = 1000  # horizons in a list


class LogUniform(Spec):
    """A range whose factors are all alike: as many trajectories between 20 and 40 steps as between 40 and 80."""

    log_uniform: Annotated[
        tuple[PositiveInt, PositiveInt], Field(strict=False)
    ]  # the shortest and the longest

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        low, high = self.log_uniform
        if low > high:
            raise ValueError(f"log_uniform = [{low}, {high}] ends before it begins: write [{high}, {low}]")
        return self


def _form(value: Any) -> str:
    if isinstance(value, list | tuple):
        return LIST
    return RANGE if isinstance(value, dict | LogUniform) else NUMBER


# What a horizon is written as; no keys of a spec, but parts of the places that pydantic tells.
NUMBER, LIST, RANGE = FORMS = ("<number>", "<list>", "<range>")

Horizon = Annotated[
    Annotated[PositiveInt, Tag(NUMBER)]
    | Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=MOST, strict=False), Tag(LIST)]
    | Annotated[LogUniform, Tag(RANGE)],
    Discriminator(_form),
]


def misfit(horizon: Horizon, unroll: int) -> str | None:
    """Why windows of `unroll` steps do not fill the trajectories; None if they do."""
    if isinstance(horizon, LogUniform):
        low, high = horizon.log_uniform
        if _first(low, unroll) > high:
            return f"no multiple of unroll {unroll} lies between {low} and {high}"
        return None
    for each in _listed(horizon):
        if each % unroll:
            return f"horizon {each} is not a multiple of unroll {unroll}"
    return None


def longest(horizon: Horizon, unroll: int) -> int:
    """Steps of the longest trajectory."""
    if isinstance(horizon, LogUniform):
        return horizon.log_uniform[1] // unroll * unroll
    return max(_listed(horizon))


def drawn(horizon: Horizon, unroll: int, share: float) -> int:
    """Steps of a trajectory: those that a share of all trajectories, in [0, 1), does not exceed."""
    if isinstance(horizon, LogUniform):
        low, high = horizon.log_uniform
        steps = exp(log(low) + share * (log(high) - log(low)))
        return min(longest(horizon, unroll), max(_first(low, unroll), round(steps / unroll) * unroll))
    listed = _listed(horizon)
    return listed[int(share * len(listed))]


def described(horizon: Horizon) -> str:
    """In words: `100`, `20 or 100`, `20 to 200`."""
    if isinstance(horizon, LogUniform):
        return " to ".join(f"{each:,}" for each in horizon.log_uniform)
    return " or ".join(f"{each:,}" for each in _listed(horizon))


def _first(low: int, unroll: int) -> int:
    """The first multiple from `low` on."""
    return -(-low // unroll) * unroll


def _listed(horizon: int | Sequence[int]) -> Sequence[int]:
    return (horizon,) if isinstance(horizon, int) else horizon
