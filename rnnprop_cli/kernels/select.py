"""Chooses a body of the kernel interface for a device and dtype."""

import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import KernelName
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.reference import ReferenceKernel


def select_kernel(name: KernelName, device: torch.device, dtype: torch.dtype) -> tuple[Kernel, str]:
    """The kernel and one line that says which it is and why.

    Args:
        name: "auto" takes the fast body of the device, and the reference where that cannot be had.
        device: where the tensors are.
        dtype: of the tensors; the fast bodies compute in float32 only.

    Raises:
        DeviceError: a body was asked for by name and cannot be had.
    """
    if name == "reference":
        return ReferenceKernel(), "kernel: reference, as asked"
    try:
        if name == "auto" and device.type not in ("cpu", "cuda"):
            raise DeviceError(f"there is no fast kernel for {device.type}")
        kernel, detail = _fast_kernel(device.type if name == "auto" else name, device, dtype)
    except DeviceError as error:
        if name != "auto":
            raise
        return ReferenceKernel(), f"kernel: reference (slower), because {error}"
    return kernel, f"kernel: {kernel.name}{detail}, {'the fast one here' if name == 'auto' else 'as asked'}"


def _fast_kernel(name: str, device: torch.device, dtype: torch.dtype) -> tuple[Kernel, str]:
    """The body and, in brackets, what else there is to say of it."""
    if device.type != name:
        raise DeviceError(
            f"kernel {name!r} cannot work on {device.type}; use --device {name} or kernel 'auto'"
        )
    if dtype != torch.float32:
        dtype_name = str(dtype).removeprefix("torch.")
        raise DeviceError(
            f"kernel {name!r} computes in float32, not {dtype_name}; use float32 or kernel 'reference'"
        )
    # Imported here: choosing one body must not need what the other is made of.
    if name == "cpu":
        from rnnprop_cli.kernels.cpu import CpuKernel
        from rnnprop_cli.kernels.cpu_library import loaded_kernel

        about = loaded_kernel()
        return CpuKernel(), f" ({about.instructions}, {about.origin})"
    if not torch.cuda.is_available():
        raise DeviceError(
            "kernel 'cuda' needs a CUDA device and PyTorch sees none; use --device cpu or kernel 'auto'"
        )
    from rnnprop_cli.kernels.cuda import CudaKernel
    from rnnprop_cli.kernels.cuda_check import check_kernel

    kernel = CudaKernel()
    check_kernel(kernel, device)
    return kernel, ""
