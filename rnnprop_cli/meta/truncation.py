"""Where a trajectory is cut into windows."""

from collections.abc import Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """Consecutive inner steps `first … first + length - 1` that one meta-gradient flows through."""

    first: int
    length: int


def spans(horizon: int, unroll: int) -> Iterator[Span]:
    """The windows of one trajectory, in order (5 of 20 steps in the paper)."""
    for first in range(0, horizon, unroll):
        yield Span(first, unroll)
