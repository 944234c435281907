"""A CUDA body that cannot be had, launched or believed leaves the work to the reference, and says so in one line."""

import subprocess
import time

import pytest
import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import cuda, cuda_check
from rnnprop_cli.kernels.cuda_check import find_trouble
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.kernels.select import select_kernel

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class OutOfResourcesError(Exception):
    """As Triton's, which derives from Exception alone."""


FAULTS = {
    "too little shared memory": OutOfResourcesError(
        "out of resource: shared memory, Required: 180224, limit: 101376"
    ),
    "no headers of Python": subprocess.CalledProcessError(1, ["gcc", "main.c", "-lcuda"]),
    "no C compiler": RuntimeError(
        "Failed to find C compiler. Please specify via CC environment variable\nmore"
    ),
    "an assembler that fails": RuntimeError("\nInternal Triton PTX codegen error\n`ptxas` stderr:\n..."),
}


class Body(ReferenceKernel):
    """The reference under another name, with a fault."""

    name = "cuda"
    fault: Exception | None = None
    tried = 0

    def step(self, *arguments, **keywords):
        type(self).tried += 1
        if self.fault is not None:
            raise self.fault
        return super().step(*arguments, **keywords)


@pytest.fixture
def body(monkeypatch):
    """What `select_kernel` takes for the CUDA body; tried on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda_check, "_found", {})
    monkeypatch.setattr(cuda_check, "find_trouble", lambda kernel, device: find_trouble(kernel, CPU))

    class Fresh(Body):
        pass

    monkeypatch.setattr(cuda, "CudaKernel", Fresh)
    return Fresh


def test_a_body_that_works_is_taken_and_tried_once(body):
    steps = []
    for _ in range(3):
        kernel, reason = select_kernel("auto", CUDA, torch.float32)
        assert kernel.name == "cuda"
        assert reason == "kernel: cuda, the fast one here"
        steps.append(body.tried)
    assert steps[0] == steps[-1] > 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_body_that_cannot_be_launched_is_left_for_the_reference_with_one_line(body, fault):
    body.fault = FAULTS[fault]
    for _ in range(2):
        kernel, reason = select_kernel("auto", CUDA, torch.float32)
        assert kernel.name == "reference"
        assert reason.startswith(
            "kernel: reference (slower), because the fast CUDA kernel does not work here ("
        )
        assert "\n" not in reason
        assert type(body.fault).__name__ in reason
        with pytest.raises(DeviceError, match="does not work here"):
            select_kernel("cuda", CUDA, torch.float32)
    assert body.tried == 1


@pytest.mark.parametrize(("method", "place"), [("step", "step"), ("window_gradient", "meta-gradient")])
def test_a_body_that_gives_other_numbers_is_not_believed(body, method, place, monkeypatch):
    real = getattr(ReferenceKernel, method)

    def wrong(self, *arguments, **keywords):
        result = real(self, *arguments, **keywords)
        if isinstance(result, tuple):
            return result[0] * 1.001, result[1]
        return result * 1.001

    monkeypatch.setattr(body, method, wrong)
    kernel, reason = select_kernel("auto", CUDA, torch.float32)
    assert kernel.name == "reference"
    assert f"its {place} is wrong" in reason


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("_perceptron_gradient", "gradient of a perceptron"),
        ("_taped_gradient", "meta-gradient from a tape"),
        ("_quadratic_gradient", "gradient of a convex function"),
    ],
)
def test_a_wrong_part_is_found_out(part, told, monkeypatch):
    real = getattr(cuda_check, part)
    monkeypatch.setattr(
        cuda_check,
        part,
        lambda kernel, *given: real(kernel, *given) * (1.001 if kernel.name == "cuda" else 1),
    )
    assert f"its {told} is wrong" in find_trouble(Body(), CPU)


def test_a_long_trial_is_explained_and_a_short_one_is_not(body, monkeypatch, capsys):
    assert select_kernel("auto", CUDA, torch.float32)[0].name == "cuda"
    assert capsys.readouterr().err == ""
    cuda_check._found.clear()
    monkeypatch.setattr(cuda_check, "PATIENCE_S", 0.02)
    real = cuda_check.find_trouble

    def slow(*given):
        time.sleep(0.3)
        return real(*given)

    monkeypatch.setattr(cuda_check, "find_trouble", slow)
    assert select_kernel("auto", CUDA, torch.float32)[0].name == "cuda"
    assert (
        capsys.readouterr().err
        == "rnnprop: Triton is compiling the CUDA programs, once for this kind of GPU\n"
    )


def test_numbers_that_are_none_are_wrong(monkeypatch):
    nan = torch.tensor(torch.nan)
    monkeypatch.setattr(Body, "window_gradient", lambda self, network, q, *rest, **more: q * nan)
    assert "meta-gradient is wrong" in find_trouble(Body(), CPU)


def test_a_full_device_says_nothing_about_the_body(body):
    body.fault = torch.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(torch.OutOfMemoryError):
        select_kernel("auto", CUDA, torch.float32)
    body.fault = None
    assert select_kernel("auto", CUDA, torch.float32)[0].name == "cuda"
