"""The plain body: PyTorch operations and autograd, on any device and in any dtype."""

from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import elu

from rnnprop_cli.kernels.base import Hidden, LSTMWeights, Network, NetworkWeights

# The state that autograd keeps is about 1.3 KB a coordinate and step in float32: blocks bound the memory.
COORDINATES_PER_BLOCK: Final = 4096


def lstm_cell(weights: LSTMWeights, input_DN: Tensor, h_HN: Tensor, c_HN: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM layer for every coordinate: returns the new (h, c), each [H, N]."""
    gates = weights.w_input @ input_DN + weights.w_hidden @ h_HN + weights.bias[:, None]
    i, f, g, o = gates.chunk(4, dim=0)
    c_new = torch.sigmoid(f) * c_HN + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_new), c_new


def network_step(
    network: Network, weights: NetworkWeights, features_FN: Tensor, hidden: Hidden
) -> tuple[Tensor, Hidden]:
    """One step of the whole network (differentiable): output [N] and the new state."""
    x = features_FN
    if weights.w_embed is not None and weights.b_embed is not None:
        x = elu(weights.w_embed @ x + weights.b_embed[:, None])
    h_layers, c_layers = [], []
    for layer, lstm in enumerate(weights.layers):
        x, c = lstm_cell(lstm, x, hidden.h_LHN[layer], hidden.c_LHN[layer])
        h_layers.append(x)
        c_layers.append(c)
    x_out = weights.w_out @ x + weights.b_out
    output = torch.tanh(x_out) if network.bounded else x_out
    return output, Hidden(torch.stack(h_layers), torch.stack(c_layers))


class ReferenceKernel:
    """Implements `Kernel` with PyTorch operations only."""

    name = "reference"

    @torch.no_grad()
    def step(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_FN: Tensor,
        hidden: Hidden,
        *,
        donate: bool = False,
    ) -> tuple[Tensor, Hidden]:
        """See `Kernel.step`."""
        output, new = network_step(network, network.weights(meta_params_Q), features_FN, hidden)
        if donate:
            hidden.h_LHN.copy_(new.h_LHN)
            hidden.c_LHN.copy_(new.c_LHN)
            new = hidden
        return output, new

    def window_gradient(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_TFN: Tensor,
        hidden: Hidden,
        output_grad_TN: Tensor,
    ) -> Tensor:
        """See `Kernel.window_gradient`."""
        leaf = meta_params_Q.detach().clone().requires_grad_()
        total = torch.zeros_like(meta_params_Q)
        n = features_TFN.shape[-1]
        for start in range(0, n, COORDINATES_PER_BLOCK):
            block = slice(start, min(start + COORDINATES_PER_BLOCK, n))
            with torch.enable_grad():
                weights = network.weights(leaf)
                state = Hidden(hidden.h_LHN[..., block].detach(), hidden.c_LHN[..., block].detach())
                value = leaf.new_zeros(())
                for features_FN, output_grad_N in zip(features_TFN, output_grad_TN, strict=True):
                    output, state = network_step(network, weights, features_FN[:, block], state)
                    value = value + output_grad_N[block] @ output
            total += torch.autograd.grad(value, leaf)[0]
        return total
