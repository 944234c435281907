"""The facts of this machine and this program that go into a run's identity."""

from dataclasses import replace
from importlib.metadata import version
from typing import Final, cast

from rnnprop_cli.execute.device import DTYPES, Engine, gpu_name
from rnnprop_cli.kernels import KernelName
from rnnprop_cli.kernels.instructions import host_instructions
from rnnprop_cli.kernels.select import select_kernel

# Raised whenever a change of the code moves any number, so that old results are never mixed with new ones.
NUMERICS_VERSION: Final = 3
# Likewise of what is computed on GPUs, so that results of CPUs stay what they are.
CUDA_NUMERICS_VERSION: Final = 3


def settle_kernel(engine: Engine, dtype: str) -> tuple[Engine, str]:
    """The engine with the body that "auto" finds here by its name, so that no worker finds another one; and one line
    that says which it is and why.

    Raises:
        DeviceError: a body was asked for by name and cannot be had.
    """
    kernel, reason = select_kernel(engine.kernel, engine.torch_device, DTYPES[dtype])
    return replace(engine, kernel=cast(KernelName, kernel.name)), reason


def identity_facts(engine: Engine, dtype: str) -> dict[str, str | int]:
    """What the bits of a result depend on besides the spec and the data.

    Of the compiled kernel that is the instruction set, which PyTorch's own loops depend on as well, and the version of
    its sources, which `NUMERICS_VERSION` counts; not whether it came from a wheel, a cache or a compiler. On a GPU it
    is its model, not its number, and not the threads of the CPU beside it.
    """
    device = engine.torch_device
    kernel = settle_kernel(engine, dtype)[0].kernel  # bodies differ in the last bits
    facts: dict[str, str | int] = {"device": device.type}
    if device.type == "cuda":
        facts |= {"gpu": gpu_name(device), "tf32": engine.tf32, "cuda_numerics": CUDA_NUMERICS_VERSION}
        if kernel == "cuda":
            facts["triton"] = version("triton")
    else:
        facts |= {"threads": engine.threads, "instructions": host_instructions()}
    return facts | {
        "dtype": dtype,
        "kernel": kernel,
        "torch": version("torch"),
        "numerics": NUMERICS_VERSION,
    }
