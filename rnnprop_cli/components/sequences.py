"""Minibatches of symbols whose next one is to be predicted, as a pure function of (seed, step).

Drawn like all minibatches (see `minibatches`).

Shape legend: S seeds, M sequences of a minibatch, T symbols of a sequence, B steps of a block, N sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from rnnprop_cli.components.minibatches import BLOCK_STEPS, ImageMinibatches
from rnnprop_cli.lazy import torch
from rnnprop_cli.numerics.sending import sent
from rnnprop_cli.seeds import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.optimizees.base import Given

BLOCK_NUMBERS: Final = 1_000_000  # a block holds about so many symbols of a seed at most


class Sequences(Protocol):
    """Where an optimizee gets its sequences."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """S seeds."""
        ...

    def at(self, step: int) -> Tensor:
        """[S, M, T] int64: the minibatch of a step."""
        ...

    def tensors(self, first: int, steps: int) -> tuple[Tensor, ...]:
        """What the minibatches of the steps first … first + steps - 1 are read from."""
        ...

    def load(self, first: int, tensors: tuple[Tensor, ...]) -> None:
        """From now on the minibatches of the steps from `first` on are read from these tensors."""
        ...

    def heldout(self) -> Tensor | None:
        """[N, T] int64: all that training never sees; None where there is nothing."""
        ...


class TextWindows:
    """Stretches of a text, each beginning anywhere in its training split; an epoch begins once everywhere.

    Raises:
        UsageError: the split has fewer stretches than a minibatch.
    """

    def __init__(self, given: Given, length: int) -> None:
        assert given.dataset is not None, "an optimizee that names a dataset is given it"
        windows_NT = given.dataset.train_images.unfold(0, length, 1)  # a view: no symbol is copied
        stretches = replace(given.dataset, train_images=windows_NT, train_labels=windows_NT[:, 0])
        self._drawn = ImageMinibatches.of(given._replace(dataset=stretches))
        self._test_N = given.dataset.test_images
        self._length = length

    @property
    def seeds(self) -> tuple[int, ...]:
        """See `Sequences`."""
        return self._drawn.seeds

    def at(self, step: int) -> Tensor:
        """See `Sequences`."""
        index_SM = self._drawn.indices(step)
        windows_NT = self._drawn.stored[0]
        found = windows_NT.index_select(0, index_SM.flatten()).view(*index_SM.shape, self._length)
        return found.to(torch.int64)

    def tensors(self, first: int, steps: int) -> tuple[Tensor, ...]:
        """See `Sequences`."""
        return self._drawn.tensors(first, steps)

    def load(self, first: int, tensors: tuple[Tensor, ...]) -> None:
        """See `Sequences`."""
        self._drawn.load(first, tensors)

    def heldout(self) -> Tensor | None:
        """See `Sequences`: the test split cut in stretches, so that each symbol but the first is predicted once."""
        if self._test_N is None or len(self._test_N) < self._length:
            return None
        windows = self._test_N.unfold(0, self._length, self._length - 1)
        return windows.to(device=self._drawn.device, dtype=torch.int64)


class SortedSequences:
    """Symbols ~ U{0 … symbols - 1}, and behind them the same ones in order; fresh at every step."""

    def __init__(
        self, seeds: Sequence[int], size: int, length: int, symbols: int, device: torch.device
    ) -> None:
        """
        Args:
            seeds: S seeds.
            size: M.
            length: half of T: symbols to sort.
            symbols: how many different ones there are.
            device: of the minibatches.
        """
        self.seeds = tuple(seeds)
        self.size, self.length, self.symbols = size, length, symbols
        self.device = device
        self.block_steps = max(1, min(BLOCK_STEPS, BLOCK_NUMBERS // (2 * size * length)))
        self._block = -1
        self._drawn_SBMT = torch.empty(0)
        self._loaded: tuple[int, Tensor] | None = (
            None  # a first step, and what lies from it on, a step an entry
        )

    def at(self, step: int) -> Tensor:
        """See `Sequences`."""
        if self._loaded is not None and 0 <= step - self._loaded[0] < self._loaded[1].shape[1]:
            return self._loaded[1][:, step - self._loaded[0]]
        block, within = divmod(step, self.block_steps)
        if block != self._block:
            self._drawn_SBMT = sent(
                torch.stack([self._draw(seed, block) for seed in self.seeds]), self.device
            )
            self._block = block
        return self._drawn_SBMT[:, within]

    def tensors(self, first: int, steps: int) -> tuple[Tensor, ...]:
        """See `Sequences`."""
        return (torch.stack([self.at(step) for step in range(first, first + steps)], dim=1),)

    def load(self, first: int, tensors: tuple[Tensor, ...]) -> None:
        """See `Sequences`."""
        self._loaded = first, tensors[0]

    def heldout(self) -> Tensor | None:
        """See `Sequences`: every sequence is fresh, so there is no test split."""
        return None

    def _draw(self, seed: int, block: int) -> Tensor:
        """[B, M, T] of one seed."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "sort", block))
        shape = (self.block_steps, self.size, self.length)
        symbols = torch.randint(self.symbols, shape, generator=generator)
        return torch.cat([symbols, symbols.sort(-1).values], dim=-1)
