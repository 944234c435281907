"""Minibatches as a pure function of (seed, step).

All draws are made on the CPU, whatever the device, from a generator seeded for blocks of consecutive steps: numbers
are equal on every device, and any step can be had at the cost of one block. Optimizers that are compared on one seed
meet the same minibatches.

Shape legend: S seeds, M examples of a minibatch, D inputs of an example (pixels, or points in time), B steps of a
block, N images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from rnnprop_cli.components.datasets import dataset_label
from rnnprop_cli.components.datasets.base import Dataset, too_small
from rnnprop_cli.errors import UsageError
from rnnprop_cli.fields import Sampling
from rnnprop_cli.lazy import torch
from rnnprop_cli.numerics.sending import sent
from rnnprop_cli.seeds import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.optimizees.base import Given

BLOCK_STEPS: Final = 100
# Sines carry their noise with them, so that long sequences need shorter blocks. Not a function of the number of
# seeds: a seed's sequences must not depend on its company.
SINE_BLOCK_NUMBERS: Final = 1_000_000

MAX_AMPLITUDE: Final = 10.0
MAX_FREQUENCY: Final = math.pi / 2
MAX_PHASE: Final = 2 * math.pi


class Minibatch(NamedTuple):
    """Inputs and targets of one step for every seed."""

    inputs_SMD: Tensor  # [S, M, D] float
    targets_SM: Tensor  # [S, M] int64 classes, or float values


class MinibatchSource(Protocol):
    """Where an optimizee gets its data."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """S seeds."""
        ...

    @property
    def size(self) -> int:
        """M."""
        ...

    def at(self, step: int) -> Minibatch:
        """The minibatch of a step."""
        ...

    def tensors(self, first: int, steps: int) -> tuple[Tensor, ...]:
        """What the minibatches of the steps first … first + steps - 1 are read from."""
        ...

    def load(self, first: int, tensors: tuple[Tensor, ...]) -> None:
        """From now on the minibatches of the steps from `first` on are read from these tensors."""
        ...

    def heldout(self) -> Minibatch | None:
        """All data that training never sees, [1, N, D]; None where there is none."""
        ...


class ImageMinibatches:
    """Images drawn from the training split.

    By epochs: every epoch is a permutation of the split, cut into whole minibatches; it leaves out what remains.
    With replacement: every image is drawn independently of all others.

    The images stay on the device as uint8 and are scaled after they are drawn, so memory does not grow with the steps.
    """

    def __init__(
        self,
        dataset: Dataset,
        seeds: Sequence[int],
        size: int,
        device: torch.device,
        dtype: torch.dtype,
        sampling: Sampling = "epochs",
    ) -> None:
        """
        Args:
            dataset: what to draw from.
            seeds: S seeds.
            size: M.
            device: of the images and minibatches.
            dtype: of the inputs.
            sampling: how.

        Raises:
            UsageError: the split is smaller than a minibatch, and so an epoch is.
        """
        check_epochs(dataset, size, sampling)
        self.seeds = tuple(seeds)
        self.size = size
        self.device = device
        self.dtype = dtype
        self.n_images = len(dataset.train_labels)
        self.shape = tuple(dataset.train_images.shape[1:])
        self.n_inputs = math.prod(self.shape)
        self.n_classes = dataset.classes  # None: the targets are numbers
        self.sampling: Sampling = sampling
        # consecutive steps whose images are drawn at once: an epoch, or any number
        self.block_steps = self.n_images // size if sampling == "epochs" else BLOCK_STEPS
        self._dataset = dataset
        self._pixels_ND, labels_N = _on_device(dataset, device)
        self._labels_N = self._as_targets(labels_N)
        self._block = -1
        self._indices_SBM = torch.empty(0)
        self._loaded: tuple[int, Tensor] | None = None  # a first step, and numbers [S, T, M] from it on

    @classmethod
    def of(cls, given: Given) -> ImageMinibatches:
        """Those that an optimizee on a dataset is given. Raises UsageError as the class does."""
        assert given.dataset is not None, "an optimizee that names a dataset is given it"
        return cls(given.dataset, given.seeds, given.minibatch, given.device, given.dtype, given.sampling)

    @property
    def counts_pixels(self) -> bool:
        """Whether inputs lie there as bytes, and targets are classes."""
        return self.n_classes is not None and self._pixels_ND.dtype == torch.uint8

    @property
    def stored(self) -> tuple[Tensor, Tensor, float, float]:
        """All images [N, D] uint8 and labels [N] as they lie on the device, with scale and shift of a pixel."""
        return self._pixels_ND, self._labels_N, self._dataset.scale, self._dataset.shift

    def indices(self, step: int) -> Tensor:
        """[S, M] int64 numbers of the step's images, on the device."""
        if self._loaded is not None and 0 <= step - self._loaded[0] < self._loaded[1].shape[1]:
            return self._loaded[1][:, step - self._loaded[0]]
        block, within = divmod(step, self.block_steps)
        if block != self._block:
            drawn = [self._draw(seed, block) for seed in self.seeds]
            self._indices_SBM = sent(torch.stack(drawn), self.device)
            self._block = block
        return self._indices_SBM[:, within]

    def at(self, step: int) -> Minibatch:
        """See `MinibatchSource`."""
        index_SM = self.indices(step)
        # index_select copies whole rows: 20 times as fast on the CPU as indexing with a matrix
        pixels = self._pixels_ND.index_select(0, index_SM.flatten()).view(*index_SM.shape, self.n_inputs)
        return Minibatch(self._scaled(pixels), self._labels_N[index_SM])

    def tensors(self, first: int, steps: int) -> tuple[Tensor, ...]:
        """See `MinibatchSource`: the numbers of the images, for the images are everybody's."""
        return (torch.stack([self.indices(step) for step in range(first, first + steps)], dim=1),)

    def load(self, first: int, tensors: tuple[Tensor, ...]) -> None:
        """See `MinibatchSource`."""
        (indices_STM,) = tensors
        self._loaded = first, indices_STM

    def images(self, part: slice) -> Minibatch:
        """Consecutive images of the training split, [1, n, D]."""
        return Minibatch(self._scaled(self._pixels_ND[part])[None], self._labels_N[part][None])

    def heldout(self) -> Minibatch | None:
        """The test split; see `MinibatchSource`."""
        images, labels = self._dataset.test_images, self._dataset.test_labels
        if images is None or labels is None:
            return None
        pixels_ND = images.to(self.device).flatten(1)
        return Minibatch(self._scaled(pixels_ND)[None], self._as_targets(labels.to(self.device))[None])

    def _as_targets(self, labels: Tensor) -> Tensor:
        """Classes as they are, numbers in the dtype of the inputs."""
        return labels if self.n_classes is not None else labels.to(self.dtype)

    def _draw(self, seed: int, block: int) -> Tensor:
        """[B, M] image numbers of one seed."""
        if self.sampling == "replacement":
            shape = (self.block_steps, self.size)
            return torch.randint(self.n_images, shape, generator=_generator(seed, "minibatch", block))
        epoch = torch.randperm(self.n_images, generator=_generator(seed, "epoch", block))
        return epoch[: self.block_steps * self.size].view(self.block_steps, self.size)

    def _scaled(self, pixels: Tensor) -> Tensor:
        scaled = pixels.to(self.dtype, copy=True).mul_(self._dataset.scale)
        return scaled.add_(self._dataset.shift) if self._dataset.shift else scaled


class SineMinibatches:
    """Sequences of the paper's section 5.4.2, fresh at every step.

    f(x) = A sin(omega x + phi), A ~ U(0, 10), omega ~ U(0, pi/2), phi ~ U(0, 2 pi). Inputs are
    f(0) … f(length - 1), each with its own noise ~ Normal(0, noise); the target f(length) carries none.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        size: int,
        noise: float,
        length: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """
        Args:
            seeds: S seeds.
            size: M.
            noise: standard deviation.
            length: D, points of a sequence.
            device: of the minibatches.
            dtype: of the minibatches; the draws are float64.
        """
        self.seeds = tuple(seeds)
        self.size = size
        self.noise = noise
        self.length = length
        self.device = device
        self.dtype = dtype
        self.block_steps = max(1, min(BLOCK_STEPS, SINE_BLOCK_NUMBERS // (size * length)))
        self._block = -1
        self._inputs_SBMD = torch.empty(0)
        self._targets_SBM = torch.empty(0)
        self._loaded: tuple[int, Tensor, Tensor] | None = (
            None  # a first step, and [S, T, M, D] and [S, T, M] from it on
        )

    def at(self, step: int) -> Minibatch:
        """See `MinibatchSource`."""
        if self._loaded is not None and 0 <= step - self._loaded[0] < self._loaded[1].shape[1]:
            first, inputs_STMD, targets_STM = self._loaded
            return Minibatch(inputs_STMD[:, step - first], targets_STM[:, step - first])
        block, within = divmod(step, self.block_steps)
        if block != self._block:
            drawn = [self._draw(seed, block) for seed in self.seeds]
            self._inputs_SBMD = sent(torch.stack([inputs for inputs, _ in drawn]), self.device)
            self._targets_SBM = sent(torch.stack([targets for _, targets in drawn]), self.device)
            self._block = block
        return Minibatch(self._inputs_SBMD[:, within], self._targets_SBM[:, within])

    def tensors(self, first: int, steps: int) -> tuple[Tensor, ...]:
        """See `MinibatchSource`."""
        inputs, targets = zip(*(self.at(step) for step in range(first, first + steps)), strict=True)
        return torch.stack(inputs, dim=1), torch.stack(targets, dim=1)

    def load(self, first: int, tensors: tuple[Tensor, ...]) -> None:
        """See `MinibatchSource`."""
        inputs_STMD, targets_STM = tensors
        self._loaded = first, inputs_STMD, targets_STM

    def heldout(self) -> Minibatch | None:
        """None: every sequence is fresh, so there is no test split."""
        return None

    def _draw(self, seed: int, block: int) -> tuple[Tensor, Tensor]:
        """Inputs [B, M, D] and targets [B, M] of one seed."""
        generator = _generator(seed, "sine", block)
        uniform = torch.rand(3, self.block_steps, self.size, 1, generator=generator, dtype=torch.float64)
        amplitude, frequency, phase = (
            MAX_AMPLITUDE * uniform[0],
            MAX_FREQUENCY * uniform[1],
            MAX_PHASE * uniform[2],
        )
        points = torch.arange(self.length + 1, dtype=torch.float64)
        values = amplitude * torch.sin(frequency * points + phase)  # [B, M, D + 1]
        inputs, targets = values[..., :-1], values[..., -1]
        noise = torch.randn(inputs.shape, generator=generator, dtype=torch.float64)
        return (inputs + self.noise * noise).to(self.dtype), targets.to(self.dtype)


def check_epochs(dataset: Dataset, size: int, sampling: Sampling) -> None:
    """Whether an epoch of the training split holds a minibatch.

    Raises:
        UsageError: it does not.
    """
    n_images = len(dataset.train_labels)
    if sampling == "epochs" and size > n_images:
        raise UsageError(f"minibatch: {size:,} {too_small(dataset_label(dataset.name), n_images)}")


@lru_cache(maxsize=2)
def _on_device(dataset: Dataset, device: torch.device) -> tuple[Tensor, Tensor]:
    """Training images [N, D] and labels [N]. They go to the device once, not for every set of seeds."""
    return dataset.train_images.to(device).flatten(1), dataset.train_labels.to(device)


def _generator(seed: int, purpose: str, block: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, purpose, block))
