"""A step of the network and the gradient of a window, written out in PyTorch operations without a graph.

The window is taken layer by layer, each over all of its steps. Every product is a plain matrix product of one step:
batched products over the steps took three times as long.

Shape legend: N coordinates, F features, E embedding width, H hidden units, G = 4H gates, D inputs of a layer, T inner
steps, Q meta-params.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import elu

from rnnprop_cli.kernels.network import Hidden, LSTMWeights, Network


class _Kept(NamedTuple):
    """What the backward direction wants to know of one layer."""

    x_TDN: Tensor  # its inputs
    h_THN: Tensor  # outputs, T + 1 of them: before the first step, then after every step
    c_THN: Tensor  # cell states, likewise
    gates_TGN: Tensor  # i, f, g and o behind their sigmoids and tanh
    tanh_c_THN: Tensor  # of the cell states after every step


def step_in_place(network: Network, meta_params_Q: Tensor, features_FN: Tensor, hidden: Hidden) -> Tensor:
    """One step of all layers: returns the output [N] and overwrites `hidden` with the state after it."""
    weights = network.weights(meta_params_Q)
    x_DN = features_FN
    if weights.w_embed is not None and weights.b_embed is not None:
        x_DN = elu(torch.addmm(weights.b_embed[:, None], weights.w_embed, x_DN), inplace=True)
    for lstm, h_HN, c_HN in zip(weights.layers, *hidden, strict=True):
        gates_GN = torch.addmm(lstm.bias[:, None], lstm.w_input, x_DN).addmm_(lstm.w_hidden, h_HN)
        i, f, g, o = _activate(gates_GN)
        c_HN.mul_(f).addcmul_(i, g)
        torch.mul(o, _tanh_into(g, c_HN), out=h_HN)
        x_DN = h_HN
    x_out_N = weights.w_out @ x_DN + weights.b_out
    return torch.tanh(x_out_N) if network.bounded else x_out_N


def window_gradient(
    network: Network, meta_params_Q: Tensor, features_TFN: Tensor, hidden: Hidden, output_grad_TN: Tensor
) -> Tensor:
    """See `Kernel.window_gradient`; no graph, memory in proportion to T N."""
    weights = network.weights(meta_params_Q)
    grad_Q = torch.zeros_like(meta_params_Q)
    grads = network.weights(grad_Q)
    x_TDN = features_TFN
    if weights.w_embed is not None and weights.b_embed is not None:
        x_TDN = torch.stack([torch.addmm(weights.b_embed[:, None], weights.w_embed, x_FN) for x_FN in x_TDN])
        x_TDN = elu(x_TDN, inplace=True)
    layers: list[_Kept] = []
    for layer, lstm in enumerate(weights.layers):
        layers.append(_forward(lstm, x_TDN, hidden.h_LHN[layer], hidden.c_LHN[layer]))
        x_TDN = layers[-1].h_THN[1:]

    above_TDN = torch.empty_like(x_TDN)  # gradient with respect to the outputs of a layer
    for x_HN, output_grad_N, above_HN in zip(x_TDN, output_grad_TN, above_TDN, strict=True):
        if network.bounded:
            output_N = torch.tanh(weights.w_out @ x_HN + weights.b_out)
            output_grad_N = output_grad_N * (1 - output_N * output_N)
        grads.w_out.add_(x_HN @ output_grad_N)
        grads.b_out.add_(output_grad_N.sum())
        torch.outer(weights.w_out, output_grad_N, out=above_HN)

    for lstm, lstm_grads in zip(reversed(weights.layers), reversed(grads.layers), strict=True):
        kept = layers.pop()
        want_below = bool(layers) or network.embedding > 0
        below_TDN = torch.empty_like(kept.x_TDN) if want_below else None
        _backward(lstm, lstm_grads, kept, above_TDN, below_TDN)
        if below_TDN is not None:
            above_TDN = below_TDN
    if grads.w_embed is not None and grads.b_embed is not None:
        for x_EN, grad_EN, features_FN in zip(kept.x_TDN, above_TDN, features_TFN, strict=True):
            grad_EN *= x_EN.clamp(max=0).add_(1)  # ELU'(z) = exp(z) = x + 1 for z <= 0, else 1
            grads.w_embed.addmm_(grad_EN, features_FN.mT)
            grads.b_embed.add_(grad_EN.sum(1))
    return grad_Q


def _activate(gates_GN: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums in front of the gates become the gates, in place: i, f, g and o as views."""
    i, f, g, o = gates_GN.chunk(4)
    gates_GN[: len(i) + len(f)].sigmoid_()  # i and f
    _tanh_into(g, g)
    o.sigmoid_()
    return i, f, g, o


def _tanh_into(out: Tensor, x: Tensor) -> Tensor:
    """tanh(x) = 2 sigmoid(2 x) - 1, a fifth of the time of PyTorch's tanh on CPUs.

    Its error near zero is absolute (half a unit in the last place of 1): all that matters in a sum of gates.
    """
    torch.mul(x, 2, out=out)
    return out.sigmoid_().mul_(2).sub_(1)


def _forward(weights: LSTMWeights, x_TDN: Tensor, h_HN: Tensor, c_HN: Tensor) -> _Kept:
    """One layer over the whole window."""
    n_steps, n_units = len(x_TDN), len(h_HN)
    h_THN = h_HN.new_empty(n_steps + 1, *h_HN.shape)
    c_THN, tanh_c_THN = torch.empty_like(h_THN), torch.empty_like(h_THN[1:])
    gates_TGN = h_HN.new_empty(n_steps, 4 * n_units, h_HN.shape[1])
    h_THN[0], c_THN[0] = h_HN, c_HN
    for t, gates_GN in enumerate(gates_TGN):
        torch.addmm(weights.bias[:, None], weights.w_input, x_TDN[t], out=gates_GN)
        gates_GN.addmm_(weights.w_hidden, h_THN[t])
        i, f, g, o = _activate(gates_GN)
        torch.mul(f, c_THN[t], out=c_THN[t + 1]).addcmul_(i, g)
        torch.mul(o, _tanh_into(tanh_c_THN[t], c_THN[t + 1]), out=h_THN[t + 1])
    return _Kept(x_TDN, h_THN, c_THN, gates_TGN, tanh_c_THN)


def _backward(
    weights: LSTMWeights, grads: LSTMWeights, kept: _Kept, above_THN: Tensor, below_TDN: Tensor | None
) -> None:
    """Backpropagation through time of one layer.

    With h = o tanh(c) and c = f c_old + i g: dc += dh o (1 - tanh(c)^2); sigmoid' = s (1 - s), tanh' = 1 - tanh^2.

    Args:
        weights: of the layer.
        grads: receive what the window adds to their gradient.
        kept: from the forward direction.
        above_THN: gradient with respect to the layer's outputs; overwritten.
        below_TDN: receives the gradient with respect to its inputs; None where nobody asks.
    """
    dh_HN = dc_HN = torch.zeros_like(above_THN[0])
    gate_grads_GN = torch.empty_like(kept.gates_TGN[0])
    d_i, d_f, d_g, d_o = gate_grads_GN.chunk(4)
    for t in range(len(above_THN) - 1, -1, -1):
        i, f, g, o = kept.gates_TGN[t].chunk(4)
        tanh_c_HN = kept.tanh_c_THN[t]
        dh_HN = above_THN[t].add_(dh_HN)
        dc_HN = dc_HN + dh_HN * o * (1 - tanh_c_HN * tanh_c_HN)
        torch.mul(dc_HN * g, i - i * i, out=d_i)
        torch.mul(dc_HN * kept.c_THN[t], f - f * f, out=d_f)
        torch.mul(dc_HN * i, 1 - g * g, out=d_g)
        torch.mul(dh_HN * tanh_c_HN, o - o * o, out=d_o)
        dc_HN *= f
        dh_HN = weights.w_hidden.mT @ gate_grads_GN
        grads.w_input.addmm_(gate_grads_GN, kept.x_TDN[t].mT)
        grads.w_hidden.addmm_(gate_grads_GN, kept.h_THN[t].mT)
        grads.bias.add_(gate_grads_GN.sum(1))
        if below_TDN is not None:
            torch.mm(weights.w_input.mT, gate_grads_GN, out=below_TDN[t])
