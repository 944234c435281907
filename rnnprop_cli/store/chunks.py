"""How a curve is cut into chunks: pure functions, no database.

A chunk holds up to `CHUNK_VALUES` float32 values at step0, step0 + stride, ... Short pieces that continue one another
are joined, so a metric written every 100 steps, one value at a time, fills chunks as a dense one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

CHUNK_VALUES: Final = 1024
_LAST_STEP: Final = 2**53  # greater steps are no longer whole as float64
DTYPE: Final = "<f4"
DTYPE_NAME: Final = "f4"


@dataclass(frozen=True)
class Chunk:
    """Consecutive values; value i belongs to step `step0 + i * stride`."""

    step0: int
    stride: int
    values: NDArray[np.float32]

    @property
    def last_step(self) -> int:
        """Step of the last value."""
        return self.step0 + (len(self.values) - 1) * self.stride

    def before(self, step: int) -> "Chunk":
        """The part at steps below `step`; may be empty."""
        count = max(0, -((self.step0 - step) // self.stride))
        return Chunk(self.step0, self.stride, self.values[:count])


def as_chunk(step0: int, stride: int, values: NDArray[np.float32]) -> Chunk:
    """A piece of any length, its values checked and in the stored type.

    Raises:
        ValueError: not one-dimensional, a negative step or a stride below 1.
    """
    stored = np.asarray(values, dtype=DTYPE)
    if stored.ndim != 1 or step0 < 0 or stride < 1:
        raise ValueError(
            f"not a curve: shape {stored.shape}, step0 {step0}, stride {stride}; "
            "needs one dimension, step0 >= 0 and stride >= 1"
        )
    return Chunk(int(step0), int(stride), stored)


def sound_chunk(step0: int, stride: int, n: int) -> bool:
    """Whether a stored chunk is one of ours: of any length, for steps that fit their 64 bits."""
    return n >= 1 and stride >= 1 and 0 <= step0 <= _LAST_STEP and (n - 1) * stride <= _LAST_STEP - step0


def pack(pieces: Sequence[Chunk]) -> list[Chunk]:
    """Join pieces that continue one another and cut at `CHUNK_VALUES`. Steps must ascend; no piece is empty.

    The first chunk returned starts where the first piece did, so it can replace that piece in the database.
    """
    runs: list[list[Chunk]] = []
    stride, last_step, count = 0, 0, 0  # of the last entry of `runs`
    for piece in pieces:
        gap = piece.step0 - last_step
        # One value alone has any stride.
        continues = count > 0 and (count == 1 or gap == stride)
        if continues and (len(piece.values) == 1 or gap == piece.stride):
            runs[-1].append(piece)
            stride, count = gap, count + len(piece.values)
        else:
            runs.append([piece])
            stride, count = piece.stride, len(piece.values)
        last_step = piece.last_step
    chunks = []
    for run in runs:
        step0, values = run[0].step0, np.concatenate([piece.values for piece in run])
        stride = run[1].step0 - run[0].last_step if len(run) > 1 else run[0].stride
        chunks += [
            Chunk(step0 + at * stride, stride, values[at : at + CHUNK_VALUES])
            for at in range(0, len(values), CHUNK_VALUES)
        ]
    return chunks


def unpack(chunks: Sequence[Chunk]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps and values of chunks in ascending order."""
    if not chunks:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    values = np.concatenate([chunk.values for chunk in chunks]).astype(np.float64)
    first = chunks[0]
    if all(
        after.stride == first.stride and after.step0 == before.last_step + first.stride
        for before, after in pairwise(chunks)
    ):  # the usual case, one range
        return first.step0 + first.stride * np.arange(len(values), dtype=np.int64), values
    steps = [c.step0 + c.stride * np.arange(len(c.values), dtype=np.int64) for c in chunks]
    return np.concatenate(steps), values
