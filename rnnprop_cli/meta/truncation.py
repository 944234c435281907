"""Where a trajectory is cut into windows."""

from collections.abc import Iterator
from typing import NamedTuple

from rnnprop_cli.spec.train import TruncationSpec


class Span(NamedTuple):
    """Consecutive inner steps `first … first + length - 1` that one meta-gradient flows through."""

    first: int
    length: int


def spans(spec: TruncationSpec) -> Iterator[Span]:
    """The windows of one trajectory, in order (5 of 20 steps in the paper)."""
    for window in range(spec.windows):
        yield Span(window * spec.unroll, spec.unroll)
