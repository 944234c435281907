"""Gradients of convolutional networks and LSTMs by the C++ body agree with PyTorch's, cell by cell and bit by bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizees.conv import Conv, ConvSpec
from rnnprop_cli.components.optimizees.lstm import LSTMSpec
from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.cpu import CpuKernel
from rnnprop_cli.kernels.passes import ConvNet, Recurrence

CPU, F32, F64 = torch.device("cpu"), torch.float32, torch.float64
SEEDS = (1, 2)
PER_SEED = 3
MINIBATCH = 37  # two pieces of the sum, the second neither full nor a multiple of the tile
LAYOUTS = ("c-c-p-f", "c-c-p-c-c-p-f-f", "c-f", "c-p-f", "c-c-c-f", "c-p-p-c-f", "c-c-p-c-p-p-f-f-f")
PICTURES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "odd": (2, 13, 9)}


@pytest.fixture(scope="module")
def kernel() -> CpuKernel:
    try:
        return CpuKernel()
    except DeviceError as error:
        pytest.skip(str(error))


def pictures(shape: tuple[int, int, int], shift: float) -> Dataset:
    """Random pictures of few grey values, so that sums of them are exact, and half of them blank."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 4, (60, *shape), generator=generator, dtype=torch.uint8)
    images[:, :, : shape[1] // 2] = 0
    labels = torch.randint(0, 10, (60,), generator=generator)
    return Dataset(
        "random", images[:50], labels[:50], images[50:], labels[50:], scale=1.0, shift=shift, classes=10
    )


def build(
    layout: str, picture: str, kernel: CpuKernel | None, dtype: torch.dtype = F32, shift: float = 0.0
) -> Conv:
    passes = None if kernel is None else kernel.passes
    data = pictures(PICTURES[picture], shift)
    optimizee = build_optimizee(ConvSpec(layout=layout), data, SEEDS, MINIBATCH, dtype, CPU, passes)
    assert isinstance(optimizee, Conv)
    return optimizee


def exact_params(optimizee: Conv) -> Tensor:
    """Few weights of a half, the output layer's small: every sum in front of a ReLU or a max-pool is exact.

    So float32 and float64 take the same branches, ties included, and what differs is rounding alone.
    """
    generator = torch.Generator().manual_seed(1)
    shape = (len(SEEDS) * PER_SEED, optimizee.n_coordinates)
    params_CP = 0.5 * torch.randint(-1, 2, shape, generator=generator, dtype=F64)
    params_CP *= torch.rand(shape, generator=generator) < 0.4
    for last in optimizee.layout.split(params_CP)[-2:]:
        last.copy_(0.01 * torch.randn(last.shape, generator=generator, dtype=F64))
    return params_CP.float().double()


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_of_a_convolutional_network_is_that_of_pytorch(
    kernel: CpuKernel, layout: str, picture: str
) -> None:
    plain, fast = build(layout, picture, None, F64, 1.0), build(layout, picture, kernel, F32, 1.0)
    params_CP = exact_params(plain)
    loss_C, grad_CP = plain.loss_and_grad(params_CP, 2)
    fast_loss_C, fast_grad_CP = fast.loss_and_grad(params_CP.float(), 2)
    # float32 rounding of sums of some thousand terms
    torch.testing.assert_close(fast_loss_C.double(), loss_C, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(fast.loss(params_CP.float(), 2), fast_loss_C, rtol=1e-5, atol=1e-6)
    assert grad_CP.norm(dim=1).min() > 1e-3
    for cell in range(len(params_CP)):
        for found, wanted in zip(
            fast.layout.split(fast_grad_CP[cell, None]), plain.layout.split(grad_CP[cell, None]), strict=True
        ):
            assert (found - wanted).norm() <= 1e-5 * wanted.norm() + 1e-7 * grad_CP[cell].norm()


def bits(optimizee: Optimizee, params_CP: Tensor) -> tuple[Tensor, ...]:
    heldout = optimizee.heldout(params_CP)
    assert heldout is not None
    return *optimizee.loss_and_grad(params_CP, 1), optimizee.loss(params_CP, 1), heldout.loss_C


def theta(optimizee: Optimizee, spread: float = 0.05) -> Tensor:
    """theta_0 of every cell, each moved a little."""
    params_CP = optimizee.init_params().repeat_interleave(PER_SEED, dim=0)
    generator = torch.Generator().manual_seed(9)
    return params_CP + spread * torch.randn(params_CP.shape, generator=generator).to(params_CP)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cell_has_the_same_bits_in_any_company_and_on_any_number_of_threads(
    kernel: CpuKernel, threads: int
) -> None:
    together = build("c-c-p-c-c-p-f-f", "odd", kernel)
    params_CP = theta(together)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = bits(together, params_CP)
        torch.set_num_threads(threads)
        assert all(map(torch.equal, bits(together, params_CP), expected))
        for cell, company in ((0, [0, 4]), (2, [2, 3]), (4, [1, 4])):  # one cell of either seed
            found = bits(together, params_CP[company])
            for here, there in zip(found, expected, strict=True):
                assert torch.equal(here[company.index(cell)], there[cell])
    finally:
        torch.set_num_threads(before)


def build_lstm(
    spec: LSTMSpec, minibatch: int, kernel: CpuKernel | None, dtype: torch.dtype = F32
) -> Optimizee:
    passes = None if kernel is None else kernel.passes
    return build_optimizee(spec, None, SEEDS, minibatch, dtype, CPU, passes)


@pytest.mark.parametrize("minibatch", [1, 16, 37])
@pytest.mark.parametrize(
    "spec",
    [
        LSTMSpec(),
        LSTMSpec(layers=2),
        LSTMSpec(layers=3, hidden=7, length=4),
        LSTMSpec(hidden=1, length=1),
        LSTMSpec(hidden=65),  # too wide: the plain path
    ],
    ids=lambda spec: f"{spec.layers}x{spec.hidden}",
)
def test_gradient_of_an_lstm_is_that_of_pytorch(kernel: CpuKernel, spec: LSTMSpec, minibatch: int) -> None:
    plain, fast = build_lstm(spec, minibatch, None, F64), build_lstm(spec, minibatch, kernel)
    params_CP = theta(plain, 0.3).float()
    loss_C, grad_CP = plain.loss_and_grad(params_CP.double(), 2)
    fast_loss_C, fast_grad_CP = fast.loss_and_grad(params_CP, 2)
    # float32 rounding through up to ten points in time
    torch.testing.assert_close(fast_loss_C.double(), loss_C, rtol=1e-5, atol=1e-6)
    assert torch.equal(fast.loss(params_CP, 2), fast_loss_C)
    for cell in range(len(params_CP)):
        assert (fast_grad_CP[cell] - grad_CP[cell]).norm() < 2e-5 * grad_CP[cell].norm()


@pytest.mark.parametrize("threads", [1, 2])
def test_an_lstm_has_the_same_bits_in_any_company_and_on_any_number_of_threads(
    kernel: CpuKernel, threads: int
) -> None:
    together = build_lstm(LSTMSpec(layers=2), MINIBATCH, kernel)
    params_CP = theta(together)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        loss_C, grad_CP = together.loss_and_grad(params_CP, 1)
        torch.set_num_threads(threads)
        for company in (list(range(6)), [2, 4]):
            found_loss_C, found_grad_CP = together.loss_and_grad(params_CP[company], 1)
            assert torch.equal(found_loss_C, loss_C[company])
            assert torch.equal(found_grad_CP, grad_CP[company])
    finally:
        torch.set_num_threads(before)


NETWORKS = {
    "conv": lambda kernel: build("c-c-p-f", "odd", kernel),
    "lstm": lambda kernel: build_lstm(LSTMSpec(), MINIBATCH, kernel),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_diverged_cell_changes_no_bit_of_its_neighbours(kernel: CpuKernel, name: str, bad: float) -> None:
    fast = NETWORKS[name](kernel)
    params_CP = theta(fast)
    loss_C, grad_CP = fast.loss_and_grad(params_CP, 0)
    params_CP[1] = bad
    sick_loss_C, sick_grad_CP = fast.loss_and_grad(params_CP, 0)
    others = torch.arange(len(params_CP)) != 1
    assert torch.equal(sick_loss_C[others], loss_C[others])
    assert torch.equal(sick_grad_CP[others], grad_CP[others])
    assert not sick_loss_C[1].isfinite()


@pytest.mark.parametrize("layer", range(6))
def test_a_weight_that_is_not_finite_shows_in_the_loss(kernel: CpuKernel, layer: int) -> None:
    fast = build("c-c-p-f", "odd", kernel)
    params_CP = theta(fast)
    fast.layout.split(params_CP)[layer][0].flatten()[0] = float("nan")
    loss_C, _ = fast.loss_and_grad(params_CP, 0)
    assert not loss_C[0].isfinite()
    assert loss_C[1:].isfinite().all()


def test_heldout_performance_is_that_of_pytorch(kernel: CpuKernel) -> None:
    plain, fast = build("c-c-p-f", "mnist", None, F64), build("c-c-p-f", "mnist", kernel)
    params_CP = exact_params(plain)
    expected, found = plain.heldout(params_CP), fast.heldout(params_CP.float())
    assert expected is not None
    assert found is not None
    torch.testing.assert_close(found.loss_C, expected.loss_C, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.accuracy_C, expected.accuracy_C)


def test_only_what_the_pass_can_take_goes_to_it(kernel: CpuKernel) -> None:
    assert kernel.passes is not None
    double, plain = build("c-p-f", "odd", kernel, F64), build("c-p-f", "odd", None, F64)
    params_CP = theta(double)
    assert torch.equal(double.loss_and_grad(params_CP, 0)[1], plain.loss_and_grad(params_CP, 0)[1])
    leaf = theta(build("c-p-f", "odd", kernel)).requires_grad_()
    assert build("c-p-f", "odd", kernel).loss(leaf, 0).requires_grad
    narrow = ConvNet((1, 4, 4), (("c", 8), ("f", 10)))
    images = torch.zeros(1, 2, 16)
    assert kernel.passes.conv_logits(narrow, images, torch.zeros(1, narrow.n_coordinates)) is None
    whole = ConvNet((1, 4, 4), (("c", 16), ("f", 10)))
    with pytest.raises(ValueError, match="params and"):
        kernel.passes.conv_logits(whole, images, torch.zeros(1, 5))
    with pytest.raises(ValueError, match="targets"):
        kernel.passes.conv_gradient(
            whole, images, torch.zeros(1, 3).long(), torch.zeros(1, whole.n_coordinates)
        )
    small = Recurrence(4, 1)
    with pytest.raises(ValueError, match="params and"):
        kernel.passes.lstm_loss(small, torch.zeros(1, 2, 3), torch.zeros(1, 2), torch.zeros(1, 5))
    with pytest.raises(ValueError, match="targets"):
        kernel.passes.lstm_loss(
            small, torch.zeros(1, 2, 3), torch.zeros(1, 3), torch.zeros(1, small.n_coordinates)
        )


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_narrower_instruction_sets_pass_these_tests_too(tmp_path: Path, capability: str) -> None:
    """In a process of its own, because the capability is read when PyTorch starts."""
    if capability == "avx2" and torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("this processor has no AVX2")
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability, "RNNPROP_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", __file__, "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
