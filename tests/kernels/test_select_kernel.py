import pytest
import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.select import select_kernel

CPU = torch.device("cpu")


def test_auto_takes_the_cpu_body_or_says_why_not():
    kernel, reason = select_kernel("auto", CPU, torch.float32)
    assert kernel.name == "cpu" or "because" in reason
    assert kernel.name in reason


def test_auto_takes_the_reference_for_float64():
    kernel, reason = select_kernel("auto", CPU, torch.float64)
    assert kernel.name == "reference"
    assert "float32" in reason


def test_auto_takes_the_reference_on_a_device_without_body():
    kernel, reason = select_kernel("auto", torch.device("mps"), torch.float32)
    assert kernel.name == "reference"
    assert "mps" in reason


def test_reference_can_be_asked_for():
    assert select_kernel("reference", CPU, torch.float64)[0].name == "reference"


@pytest.mark.parametrize(
    ("name", "device", "dtype", "message"),
    [
        ("cpu", "cpu", torch.float64, "float32"),
        ("cpu", "cuda", torch.float32, "cannot work on cuda"),
        ("cuda", "cpu", torch.float32, "cannot work on cpu"),
    ],
)
def test_a_body_asked_for_by_name_is_refused_where_it_cannot_work(name, device, dtype, message):
    with pytest.raises(DeviceError, match=message):
        select_kernel(name, torch.device(device), dtype)
