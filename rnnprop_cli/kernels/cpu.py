"""The CPU body: C++ with SIMD and threads, in float32.

Source: `cpu.cpp`. A window is computed block by block, forward and backward, in the second-level cache; nothing is
stored per step. Coordinates whose output gradient is zero at every step are left out, which is exact.
Results do not depend on the number of threads.
"""

import torch
from torch import Tensor

from rnnprop_cli.kernels.cpu_library import check, load_library, pointers, sizes
from rnnprop_cli.kernels.cpu_passes import CpuPasses
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.passes import FusedPasses
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.kernels.tape import Kept, Tape


class CpuKernel:
    """Implements `Kernel` for float32 tensors on the CPU; other tensors go to the reference.

    Raises:
        DeviceError: from the constructor, where the C++ body cannot be compiled or loaded.
    """

    name = "cpu"

    def __init__(self) -> None:
        self._library = load_library()
        self.passes: FusedPasses | None = CpuPasses()
        self._reference = ReferenceKernel()

    @torch.no_grad()
    def step(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_FN: Tensor,
        hidden: Hidden,
        *,
        donate: bool = False,
        kept: Kept | None = None,
    ) -> tuple[Tensor, Hidden]:
        """See `Kernel.step`."""
        if not _supported(meta_params_Q, features_FN, *hidden):
            return self._reference.step(network, meta_params_Q, features_FN, hidden, donate=donate)
        n = features_FN.shape[-1]
        _check_shapes(network, meta_params_Q, features_FN, hidden)
        meta_params, features = meta_params_Q.contiguous(), features_FN.contiguous()
        h, c = hidden.h_LHN.contiguous(), hidden.c_LHN.contiguous()
        new = Hidden(h, c) if donate else Hidden(torch.empty_like(h), torch.empty_like(c))
        output = features.new_empty(n)
        check(
            self._library.rnnprop_step(
                sizes(network),
                n,
                torch.get_num_threads(),
                *pointers(meta_params, features, h, c, *new, output),
                None,
            )
        )
        if donate:
            if h is not hidden.h_LHN:
                hidden.h_LHN.copy_(h)
            if c is not hidden.c_LHN:
                hidden.c_LHN.copy_(c)
            new = hidden
        return output, new

    def tape(self, network: Network, steps: int, params_CP: Tensor) -> Tape | None:
        """See `Kernel.tape`: none, the steps are taken again in the cache."""
        return None

    @torch.no_grad()
    def window_gradient(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_TFN: Tensor,
        hidden: Hidden,
        output_grad_TN: Tensor,
        *,
        tape: Tape | None = None,
    ) -> Tensor:
        """See `Kernel.window_gradient`."""
        if not _supported(meta_params_Q, features_TFN, *hidden, output_grad_TN):
            return self._reference.window_gradient(
                network, meta_params_Q, features_TFN, hidden, output_grad_TN
            )
        steps, _, n = features_TFN.shape
        _check_shapes(network, meta_params_Q, features_TFN[0], hidden)
        if output_grad_TN.shape != (steps, n):
            raise ValueError(f"output_grad_TN is {tuple(output_grad_TN.shape)}, not {(steps, n)}")
        inputs = [t.contiguous() for t in (meta_params_Q, features_TFN, *hidden, output_grad_TN)]
        grad = torch.empty_like(inputs[0])
        check(
            self._library.rnnprop_window_gradient(
                sizes(network), steps, n, torch.get_num_threads(), *pointers(*inputs, grad)
            )
        )
        return grad


def _supported(*tensors: Tensor) -> bool:
    return all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)


def _check_shapes(network: Network, meta_params_Q: Tensor, features_FN: Tensor, hidden: Hidden) -> None:
    """The C++ side reads raw pointers: a wrong shape must not get there."""
    n = features_FN.shape[-1]
    state = (network.layers, network.hidden, n)
    if (
        meta_params_Q.shape != (network.n_meta_params,)
        or features_FN.shape != (network.features, n)
        or hidden.h_LHN.shape != state
        or hidden.c_LHN.shape != state
    ):
        raise ValueError(
            f"shapes do not fit {network}: meta-params {tuple(meta_params_Q.shape)}, "
            f"features {tuple(features_FN.shape)}, hidden {tuple(hidden.h_LHN.shape)}"
        )
