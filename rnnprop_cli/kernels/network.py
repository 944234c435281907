"""The coordinatewise network of a learned optimizer: its architecture, weights and state.

Shape legend: N coordinates (all cells side by side), F features, E embedding width, H hidden units,
L LSTM layers, T inner steps of a window, Q meta-params.

Everything is feature-major (coordinates last), so that one row of a feature or hidden unit is contiguous:
coordinates are the lanes of a SIMD register, the threads of a warp, and the columns of one large product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


class Hidden(NamedTuple):
    """State of the LSTM layers."""

    h_LHN: Tensor  # [L, H, N] outputs of each layer
    c_LHN: Tensor  # [L, H, N] cell states of each layer


class LSTMWeights(NamedTuple):
    """One LSTM layer: [i, f, g, o] = w_input x + w_hidden h + bias, in torch's gate order."""

    w_input: (
        Tensor  # [4H, D], D = E for the first layer if there is an embedding, F without, H for later ones
    )
    w_hidden: Tensor  # [4H, H]
    bias: Tensor  # [4H]


class NetworkWeights(NamedTuple):
    """Views into one flat vector of meta-params, in this order."""

    w_embed: Tensor | None  # [E, F], ELU behind it; None when the network has no embedding
    b_embed: Tensor | None  # [E]
    layers: tuple[LSTMWeights, ...]
    w_out: Tensor  # [H]
    b_out: Tensor  # []


@dataclass(frozen=True)
class Network:
    """Architecture of the coordinatewise network (Figure 1 of the paper).

    features → [Linear + ELU] → LSTM x layers → Linear(H, 1) → [tanh].

    Attributes:
        features: inputs per coordinate (2 for RNNprop and DMoptimizer).
        embedding: width of the Linear + ELU layer in front, 0 for none.
        hidden: units of each LSTM layer.
        layers: number of LSTM layers.
        bounded: whether tanh is applied to the output (equation 7).
    """

    features: int = 2
    embedding: int = 20
    hidden: int = 20
    layers: int = 2
    bounded: bool = True

    def named_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the meta-params, in the order in which the flat vector holds them."""
        shapes: list[tuple[str, tuple[int, ...]]] = []
        width = self.features
        if self.embedding:
            shapes += [
                ("embed.weight", (self.embedding, self.features)),
                ("embed.bias", (self.embedding,)),
            ]
            width = self.embedding
        gates = 4 * self.hidden
        for layer in range(self.layers):
            shapes += [
                (f"lstm{layer}.w_input", (gates, width)),
                (f"lstm{layer}.w_hidden", (gates, self.hidden)),
                (f"lstm{layer}.bias", (gates,)),
            ]
            width = self.hidden
        return [*shapes, ("out.weight", (self.hidden,)), ("out.bias", ())]

    @property
    def n_meta_params(self) -> int:
        """Length of the flat vector (6,641 for RNNprop, 5,141 for DMoptimizer)."""
        return sum(torch.Size(shape).numel() for _, shape in self.named_shapes())

    def named(self, meta_params_Q: Tensor) -> dict[str, Tensor]:
        """The flat vector as named views, e.g. for a checkpoint."""
        views: dict[str, Tensor] = {}
        start = 0
        for name, shape in self.named_shapes():
            size = torch.Size(shape).numel()
            views[name] = meta_params_Q[start : start + size].view(shape)
            start += size
        return views

    def weights(self, meta_params_Q: Tensor) -> NetworkWeights:
        """The flat vector as views, one per tensor (differentiable)."""
        named = self.named(meta_params_Q)
        layers = tuple(
            LSTMWeights(
                named[f"lstm{layer}.w_input"], named[f"lstm{layer}.w_hidden"], named[f"lstm{layer}.bias"]
            )
            for layer in range(self.layers)
        )
        return NetworkWeights(
            named.get("embed.weight"), named.get("embed.bias"), layers, named["out.weight"], named["out.bias"]
        )

    def flatten(self, named: dict[str, Tensor]) -> Tensor:
        """The inverse of `named`."""
        return torch.cat([named[name].reshape(-1) for name, _ in self.named_shapes()])

    def zero_hidden(self, n_coordinates: int, dtype: torch.dtype, device: torch.device) -> Hidden:
        """The state h_0 = c_0 = 0 in which every trajectory starts."""
        shape = (self.layers, self.hidden, n_coordinates)
        return Hidden(
            torch.zeros(shape, dtype=dtype, device=device), torch.zeros(shape, dtype=dtype, device=device)
        )


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
        x = torch.nn.functional.elu(weights.w_embed @ x + weights.b_embed[:, None])
    h_layers, c_layers = [], []
    for layer, lstm in enumerate(weights.layers):
        x, c = lstm_cell(lstm, x, hidden.h_LHN[layer], hidden.c_LHN[layer])
        h_layers.append(x)
        c_layers.append(c)
    x_out = weights.w_out @ x + weights.b_out
    output = torch.tanh(x_out) if network.bounded else x_out
    return output, Hidden(torch.stack(h_layers), torch.stack(c_layers))
