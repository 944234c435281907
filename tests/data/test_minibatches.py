"""Minibatches are a pure function of (seed, step)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.minibatches import (
    BLOCK_STEPS,
    ImageMinibatches,
    MinibatchSource,
    SineMinibatches,
)
from rnnprop_cli.errors import UsageError
from rnnprop_cli.fields import Sampling

CPU = torch.device("cpu")
N, SIZE = 50, 4
DATASET = Dataset(
    "fake",
    torch.arange(N * 12, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(N, 3, 2, 2),
    torch.arange(N) % 10,
    torch.full((5, 3, 2, 2), 255, dtype=torch.uint8),
    torch.arange(5),
    scale=1 / 255,
    shift=-0.5,
    classes=10,
)


def _images(
    seeds: tuple[int, ...], dtype: torch.dtype = torch.float32, sampling: Sampling = "epochs"
) -> ImageMinibatches:
    return ImageMinibatches(DATASET, seeds, SIZE, CPU, dtype, sampling)


def _replaced(seeds: tuple[int, ...]) -> ImageMinibatches:
    return _images(seeds, sampling="replacement")


def _sines(seeds: tuple[int, ...], length: int = 10, noise: float = 0.1) -> SineMinibatches:
    return SineMinibatches(seeds, SIZE, noise, length, CPU, torch.float64)


SOURCES = {"epochs": _images, "replacement": _replaced, "sines": _sines}


@pytest.mark.parametrize("kind", SOURCES)
def test_steps_may_be_asked_for_in_any_order(kind: str) -> None:
    straight = SOURCES[kind]((3, 4))
    steps = [0, 1, BLOCK_STEPS - 1, BLOCK_STEPS, 5 * BLOCK_STEPS + 7]
    expected = [straight.at(step) for step in steps]
    jumping = SOURCES[kind]((3, 4))
    for step, minibatch in reversed(list(zip(steps, expected, strict=True))):
        for one, other in zip(jumping.at(step), minibatch, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_seed_meets_the_same_data_in_any_company(kind: str) -> None:
    together, alone = SOURCES[kind]((1, 2, 3)), SOURCES[kind]((2,))
    for step in (0, 1, BLOCK_STEPS + 1):
        for of_all, of_one in zip(together.at(step), alone.at(step), strict=True):
            assert torch.equal(of_all[1], of_one[0])


@pytest.mark.parametrize("kind", SOURCES)
def test_seeds_and_steps_differ_and_the_global_generator_does_not_matter(kind: str) -> None:
    torch.manual_seed(0)
    first = SOURCES[kind]((1, 2)).at(0).inputs_SMD
    torch.manual_seed(1)
    again = SOURCES[kind]((1, 2))
    assert torch.equal(again.at(0).inputs_SMD, first)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, again.at(1).inputs_SMD)
    assert not torch.equal(first, again.at(BLOCK_STEPS).inputs_SMD)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_fits_the_protocol(kind: str) -> None:
    source: MinibatchSource = SOURCES[kind]((1, 2))
    minibatch = source.at(3)
    assert minibatch.inputs_SMD.shape[:2] == minibatch.targets_SM.shape == (len(source.seeds), source.size)


def test_numbers_stay_what_they_were() -> None:
    """A change here changes every result: it must be meant, and told in the changelog."""
    assert _replaced((0,)).indices(0).tolist() == [[5, 37, 23, 5]]
    assert _images((0,)).indices(0).tolist() == [[10, 0, 23, 22]]
    noisy, clean = _sines((0,), noise=0.5).at(0), _sines((0,), noise=0.0).at(0)
    assert clean.inputs_SMD[0, 0, :2].tolist() == pytest.approx([0.5584511106756478, 0.6408108049713142])
    assert noisy.inputs_SMD[0, 0, :2].tolist() == pytest.approx([-0.2902827998668569, 0.9857754363136302])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 10_000), st.integers(1, N))
def test_an_epoch_meets_no_image_twice_and_the_next_one_another_order(
    seed: int, epoch: int, size: int
) -> None:
    source = ImageMinibatches(DATASET, (seed,), size, CPU, torch.float32)
    steps = N // size
    met, later = (
        torch.cat([source.indices(step)[0] for step in range(first, first + steps)])
        for first in (epoch * steps, (epoch + 1) * steps)
    )
    assert len(met) == steps * size == len(met.unique())
    assert 0 <= int(met.min()) <= int(met.max()) < N
    assert size == 1 or not torch.equal(met, later)  # 25 orders of 50 images never meet by chance


def test_what_is_left_over_differs_from_epoch_to_epoch() -> None:
    source = ImageMinibatches(
        DATASET, (3,), 16, CPU, torch.float32
    )  # 3 minibatches of 16, 2 images left over
    met = [{*torch.cat([source.indices(3 * epoch + i)[0] for i in range(3)]).tolist()} for epoch in range(20)]
    assert set().union(*met) == set(range(N))
    assert len({frozenset(range(N)) - frozenset(each) for each in met}) > 10


def test_an_epoch_must_hold_a_minibatch() -> None:
    with pytest.raises(UsageError, match=r'51 is more than the 50 .* of fake.* sampling = "replacement"'):
        ImageMinibatches(DATASET, (1,), N + 1, CPU, torch.float32)
    assert ImageMinibatches(DATASET, (1,), N + 1, CPU, torch.float32, "replacement").indices(0).shape == (
        1,
        51,
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 100_000))
def test_images_are_those_of_the_indices(seed: int, step: int) -> None:
    source = _images((seed,), torch.float64)
    index = source.indices(step)
    minibatch = source.at(step)
    assert index.shape == (1, SIZE)
    assert 0 <= int(index.min()) <= int(index.max()) < N
    expected = DATASET.train_images[index[0]].flatten(1).double() / 255 - 0.5
    assert torch.allclose(minibatch.inputs_SMD[0], expected, rtol=0, atol=1e-15)
    assert torch.equal(minibatch.targets_SM[0], DATASET.train_labels[index[0]])


def test_every_image_is_drawn_about_equally_often() -> None:
    source = _replaced((7,))
    counts = torch.stack([source.indices(step) for step in range(2500)]).flatten().bincount(minlength=N)
    assert counts.sum() == 10_000
    chi_squared = float(((counts - 200.0) ** 2 / 200).sum())
    assert chi_squared < 94  # 49 degrees of freedom: passed by 99.99 % of fair draws


def test_heldout_and_slices() -> None:
    source = _images((1, 2))
    test = source.heldout()
    assert test is not None
    assert test.inputs_SMD.shape == (1, 5, 12)
    assert torch.all(test.inputs_SMD == 0.5)
    part = source.images(slice(2, 4))
    assert part.inputs_SMD.shape == (1, 2, 12)
    assert part.targets_SM.tolist() == [[2, 3]]
    assert _sines((1,)).heldout() is None


def test_images_stay_bytes() -> None:
    source = _images((1,))
    assert source._pixels_ND.dtype == torch.uint8
    assert source.at(0).inputs_SMD.dtype == torch.float32
    assert (source.shape, source.n_inputs, source.n_classes, source.n_images) == ((3, 2, 2), 12, 10, N)


def test_noiseless_sines_follow_their_own_recurrence() -> None:
    """f(x + 1) = 2 cos(omega) f(x) - f(x - 1) for any sine, the target included."""
    minibatch = _sines((1, 2, 3), noise=0.0).at(5)
    values = torch.cat([minibatch.inputs_SMD, minibatch.targets_SM[..., None]], dim=2)
    middle, sides = values[..., 1:-1], values[..., 2:] + values[..., :-2]
    best = middle.abs().argmax(2, keepdim=True)  # where the division is safest
    cosine = (sides.gather(2, best) / middle.gather(2, best)) / 2
    assert torch.allclose(2 * cosine * middle, sides, atol=1e-9)
    assert values.abs().max() <= 10
    assert cosine.min() >= math.cos(math.pi / 2) - 1e-9  # omega <= pi / 2


def test_the_noise_is_on_the_inputs_only_and_has_the_asked_size() -> None:
    noisy, clean = _sines((1,), noise=0.1), _sines((1,), noise=0.0)
    assert torch.equal(noisy.at(0).targets_SM, clean.at(0).targets_SM)
    noise = torch.stack(
        [noisy.at(step).inputs_SMD - clean.at(step).inputs_SMD for step in range(BLOCK_STEPS)]
    )
    assert float(noise.std()) == pytest.approx(0.1, rel=0.05)


def test_long_sequences_have_shorter_blocks() -> None:
    source = SineMinibatches((1,), 128, 0.1, 1000, CPU, torch.float32)
    assert source.block_steps == 7
    assert torch.equal(
        source.at(8).inputs_SMD, SineMinibatches((1,), 128, 0.1, 1000, CPU, torch.float32).at(8)[0]
    )
