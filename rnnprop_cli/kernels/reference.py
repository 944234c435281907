"""The plain body: PyTorch operations on any device and in any dtype, and the definition of what is right.

`network_step` of `network.py` is the network as the paper draws it, differentiable; `autograd_window_gradient` leaves
its derivative to autograd. `ReferenceKernel` computes the same with the derivative written out (`written_out.py`),
which spares most of autograd's thousands of small operations; tests hold it to the autograd form.
"""

from typing import Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.network import Hidden, Network, network_step
from rnnprop_cli.kernels.passes import FusedPasses
from rnnprop_cli.kernels.tape import Kept, Tape
from rnnprop_cli.kernels.written_out import step_in_place, window_gradient

# What a window keeps is about 1 KB a coordinate and step in float32: blocks bound the memory. Every operation on a
# block is a rendezvous of all threads, so that small blocks cost more than the cache gives back.
COORDINATES_PER_BLOCK: Final = 8192


def autograd_window_gradient(
    network: Network, meta_params_Q: Tensor, features_TFN: Tensor, hidden: Hidden, output_grad_TN: Tensor
) -> Tensor:
    """`Kernel.window_gradient` by autograd through `network_step`: slow, and what the others are held to."""
    leaf = meta_params_Q.detach().clone().requires_grad_()
    with torch.enable_grad():
        weights = network.weights(leaf)
        value = leaf.new_zeros(())
        for features_FN, output_grad_N in zip(features_TFN, output_grad_TN, strict=True):
            output, hidden = network_step(network, weights, features_FN, hidden)
            value = value + output_grad_N @ output
    return torch.autograd.grad(value, leaf)[0]


class ReferenceKernel:
    """Implements `Kernel` with PyTorch operations only."""

    name = "reference"
    passes: FusedPasses | None = None

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
        if not donate:
            hidden = Hidden(hidden.h_LHN.clone(), hidden.c_LHN.clone())
        return step_in_place(network, meta_params_Q, features_FN, hidden), hidden

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
        inputs = (features_TFN, *hidden, output_grad_TN)
        if meta_params_Q.device.type == "cpu":  # elsewhere the count of them would have to be waited for
            inputs = _with_output_gradient(*inputs)
        total = torch.zeros_like(meta_params_Q)
        for features, h, c, output_grad in zip(
            *(torch.split(tensor, COORDINATES_PER_BLOCK, dim=-1) for tensor in inputs), strict=True
        ):
            if features.shape[-1]:
                total += window_gradient(network, meta_params_Q, features, Hidden(h, c), output_grad)
        return total


def _with_output_gradient(
    features_TFN: Tensor, h_LHN: Tensor, c_LHN: Tensor, output_grad_TN: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Leaves out the coordinates whose output gradient is zero at every step: they add exactly nothing."""
    active = (output_grad_TN != 0).any(0).nonzero().squeeze(1)  # NaN counts as not zero
    if len(active) == output_grad_TN.shape[1]:
        return features_TFN, h_LHN, c_LHN, output_grad_TN
    h, c = h_LHN.index_select(-1, active), c_LHN.index_select(-1, active)
    return features_TFN.index_select(-1, active), h, c, output_grad_TN.index_select(-1, active)
