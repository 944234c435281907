"""The CUDA body against the reference, for `gpu_suite.py`."""

import torch

from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.reference import ReferenceKernel, autograd_window_gradient


def cuda_kernel() -> Kernel:
    """The Triton body, interpreted in a dry run."""
    from rnnprop_cli.kernels.cuda import CudaKernel

    return CudaKernel()


def kernel_errors(
    kernel: Kernel, network: Network, n: int, steps: int, device: torch.device
) -> tuple[float, float]:
    """Relative errors of a step's output and of a window's gradient."""
    generator = torch.Generator().manual_seed(n)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device)

    state = (network.layers, network.hidden, n)
    meta_params_Q, features_TFN = 0.2 * normal(network.n_meta_params), normal(steps, network.features, n)
    hidden, output_grad_TN = Hidden(0.3 * normal(*state), 0.5 * normal(*state)), normal(steps, n)
    truth_N, _ = ReferenceKernel().step(network, meta_params_Q, features_TFN[0], hidden)
    truth_Q = autograd_window_gradient(network, meta_params_Q, features_TFN, hidden, output_grad_TN)
    single = Hidden(hidden.h_LHN.float(), hidden.c_LHN.float())
    output_N, _ = kernel.step(network, meta_params_Q.float(), features_TFN[0].float(), single)
    grad_Q = kernel.window_gradient(
        network, meta_params_Q.float(), features_TFN.float(), single, output_grad_TN.float()
    )
    return tuple(
        float((found.double() - truth).norm() / truth.norm())
        for found, truth in ((output_N, truth_N), (grad_Q, truth_Q))
    )  # type: ignore[return-value]
