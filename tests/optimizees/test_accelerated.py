"""What runs on a kernel's passes agrees with the plain definition, and what they do not know stays with it."""

import pytest
import torch
from optimizee_cases import CIFAR, DIGITS, SPECS, Case, numbers

from rnnprop_cli.accelerate.optimizees import FusedConv, FusedLSTM, FusedMLP, build_optimizee
from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizees.conv import ConvSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.cpu import CpuKernel

CPU = torch.device("cpu")
FUSED = (FusedMLP, FusedConv, FusedLSTM)


def data(classes: int, scale: int = 1) -> Dataset:
    """Pictures of so many classes, all blank with a scale of 0."""
    generator = torch.Generator().manual_seed(classes)
    pixels = torch.randint(0, 256, (40, 1, 8, 8), generator=generator).mul(scale).to(torch.uint8)
    labels = torch.randint(0, classes, (40,), generator=generator)
    return Dataset("random", pixels, labels, None, None, scale=1 / 255, classes=classes)


MLP, CONV = MLPSpec(dataset="digits"), ConvSpec(dataset="digits")
OWN: dict[str, Case] = {
    "numbers, mlp": (MLP, numbers(DIGITS)),
    "numbers, conv": (ConvSpec(dataset="cifar10"), numbers(CIFAR)),
    "two classes, mlp": (MLP, data(2)),
    "two classes, conv": (CONV, data(2)),
    "many classes, mlp": (MLP, data(300)),
    "many classes, conv": (CONV, data(300)),
    "blank pictures, mlp": (MLP, data(10, scale=0)),
    "blank pictures, conv": (CONV, data(10, scale=0)),
}
PLAIN = {
    *("mlp gelu", "mlp silu", "conv batch", "conv group", "conv residual", "quadratic"),
    *("transformer sort", "transformer text", "numbers, mlp", "numbers, conv"),
}


@pytest.fixture(scope="module")
def kernel() -> CpuKernel:
    try:
        return CpuKernel()
    except DeviceError as error:
        pytest.skip(str(error))


def build(case: Case, dtype: torch.dtype, kernel: CpuKernel | None) -> Optimizee:
    return build_optimizee(*case, (1, 2), 6, dtype, CPU, None if kernel is None else kernel.passes)


@pytest.mark.parametrize("name", [*SPECS, *OWN])
def test_losses_and_gradients_are_those_of_the_plain_form(kernel: CpuKernel, name: str) -> None:
    case = (SPECS | OWN)[name]
    plain, fast = build(case, torch.float64, None), build(case, torch.float32, kernel)
    assert isinstance(fast, FUSED) == (name not in PLAIN)
    params_CP = plain.init_params().repeat_interleave(2, dim=0)
    params_CP += 0.05 * torch.randn(params_CP.shape, generator=torch.Generator().manual_seed(1)).double()
    loss_C, grad_CP = plain.loss_and_grad(params_CP, 1)
    fast_loss_C, fast_grad_CP = fast.loss_and_grad(params_CP.float(), 1)
    # float32 rounding of sums of some hundred terms
    torch.testing.assert_close(fast_loss_C.double(), loss_C, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast.loss(params_CP.float(), 1).double(), loss_C, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        fast.mean_loss(params_CP.float(), 9).double(), plain.mean_loss(params_CP, 9), rtol=1e-4, atol=1e-5
    )
    assert (fast_grad_CP - grad_CP).norm() < 1e-4 * grad_CP.norm()


@pytest.mark.parametrize("name", [*SPECS, *OWN])
def test_held_out_performance_of_a_batch_is_that_of_its_cells(name: str) -> None:
    spec, dataset = (SPECS | OWN)[name]
    together = build((spec, dataset), torch.float64, None)
    params_CP = together.init_params().repeat_interleave(2, dim=0)
    params_CP += 0.05 * torch.randn(params_CP.shape, generator=torch.Generator().manual_seed(1)).double()
    found = together.heldout(params_CP)
    if found is None:
        assert dataset is None or dataset.test_images is None
        return
    for cell in range(4):
        alone = build_optimizee(spec, dataset, (1 + cell // 2,), 6, torch.float64, CPU)
        one = alone.heldout(params_CP[cell : cell + 1])
        assert one is not None
        torch.testing.assert_close(one.loss_C[0], found.loss_C[cell], rtol=1e-10, atol=1e-12)
        if one.accuracy_C is not None and found.accuracy_C is not None:
            assert one.accuracy_C[0] == found.accuracy_C[cell]
    assert (found.accuracy_C is None) == (dataset is not None and dataset.classes is None)
