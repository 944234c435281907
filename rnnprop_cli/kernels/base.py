"""The coordinatewise network of a learned optimizer, and the interface that computes with it.

Shape legend: N coordinates (all cells side by side), F features, E embedding width, H hidden units,
L LSTM layers, T inner steps of a window, Q meta-params.

Everything is feature-major (coordinates last), so that one row of a feature or hidden unit is contiguous:
coordinates are the lanes of a SIMD register, the threads of a warp, and the columns of one large product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor

FILTER: Final = 3  # height and width of a convolution


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


class RelativeInputs(NamedTuple):
    """RNNprop's moving averages at step t = 1, 2, ... (equations 8 and 9; `optimizers/rnnprop.py` defines them)."""

    beta1: float
    beta2: float
    eps: float
    t: int
    divisors_2: Tensor | None = None  # what m and v are divided by, on the device; None: they follow from t


class MisfitError(ValueError):
    """Tensors that do not lie in memory as they would have to; nothing has been computed."""


class TensorStep(NamedTuple):
    """One step of a learned optimizer for one tensor: contiguous, on one device, all but the gradient updated."""

    param: Tensor  # of any shape
    grad: Tensor  # its shape
    step: Tensor  # [] float32 on the CPU, steps taken before
    accumulators: tuple[Tensor, ...]  # of the param's shape, for RNNprop its first and second moment
    h: Tensor  # [L H, *shape of the param]
    c: Tensor  # likewise
    rate: float  # what the output is multiplied with before it is added to the param
    decay: float  # what the param is multiplied with before
    maximize: bool  # whether the gradient is negated


class Perceptron(NamedTuple):
    """Shape and data of a batch of multilayer perceptrons (`optimizees/mlp.py` defines their loss)."""

    widths: tuple[int, ...]  # inputs, hidden layers, classes
    activation: str
    pixels_ND: Tensor  # [N, D] uint8, all images
    labels_N: Tensor  # [N] int64
    scale: float  # a pixel x stands for x * scale + shift
    shift: float


class ConvNet(NamedTuple):
    """Shape of a batch of convolutional networks (`optimizees/conv.py` defines their loss)."""

    picture: tuple[int, int, int]  # channels, height, width
    layers: tuple[tuple[str, int], ...]  # letter of the layout, and channels or features; 0 for a max-pool

    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of weight and bias of every layer that has them, in the order in which the flat vector holds them."""
        channels, height, width = self.picture
        features = 0
        shapes: list[tuple[int, ...]] = []
        for letter, size in self.layers:
            if letter == "c":
                shapes += [(size, channels, FILTER, FILTER), (size,)]
                channels = size
            elif letter == "p":
                height, width = height // 2, width // 2
            else:
                shapes += [(features or channels * height * width, size), (size,)]
                features = size
        return shapes

    @property
    def n_coordinates(self) -> int:
        """P."""
        return sum(torch.Size(shape).numel() for shape in self.shapes())


class Recurrence(NamedTuple):
    """Shape of a batch of LSTMs that predict (`optimizees/lstm.py` defines their loss)."""

    hidden: int
    layers: int

    @property
    def n_coordinates(self) -> int:
        """P."""
        gates = 4 * self.hidden
        return gates * (self.hidden + 2 + (self.layers - 1) * (2 * self.hidden + 1)) + self.hidden + 1


class FusedPasses(Protocol):
    """Work around the network that a body of `Kernel` can do in one pass over memory instead of many.

    Each agrees within rounding with the PyTorch operations that its user would otherwise take.
    """

    steps_tensors: bool  # whether there is `relative_steps`

    def fits(self, tensor: Tensor) -> bool:
        """Whether tensors of this dtype and device can be given."""
        ...

    def relative_step(
        self,
        network: Network,
        meta_params_Q: Tensor,
        inputs: RelativeInputs,
        grads_CP: Tensor,
        m_CP: Tensor,
        v_CP: Tensor,
        hidden: Hidden,
        rate_C: Tensor,
        params_CP: Tensor,
        features_FN: Tensor | None,
    ) -> None:
        """One step of RNNprop: moments, features, network and params, all in place.

        Args:
            network: with two features.
            meta_params_Q: [Q] flat meta-params.
            inputs: how moments become features.
            grads_CP: [C, P] gradients.
            m_CP: [C, P] first moment, updated.
            v_CP: [C, P] second moment, updated.
            hidden: updated.
            rate_C: [C] what the network's output is multiplied with before it is added to the params.
            params_CP: [C, P], updated.
            features_FN: [2, C P] receives the network's inputs; None where nobody wants them.
        """
        ...

    def relative_steps(
        self,
        network: Network,
        meta_params_Q: Tensor,
        beta1: float,
        beta2: float,
        eps: float,
        tensors: Sequence[TensorStep],
    ) -> None:
        """One step of RNNprop for every tensor, each with its own count of steps, all in place in one pass; only where
        `steps_tensors`.

        A coordinate sleeps until its first gradient that is not zero: it does not move and its state stays zero.

        Args:
            network: with two features.
            meta_params_Q: [Q] flat meta-params.
            beta1: decay of the first moment.
            beta2: decay of the second moment.
            eps: see `RelativeInputs`.
            tensors: of float32, bfloat16 or float16, all their buffers distinct.

        Raises:
            MisfitError: a tensor is another one.
        """
        ...

    def perceptron_gradient(
        self, perceptron: Perceptron, index_SM: Tensor, params_CP: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """[C] mean cross-entropy and its gradient [C, P] on the images `index_SM`; None where this does not pay."""
        ...

    def perceptron_loss(self, perceptron: Perceptron, index_SM: Tensor, params_CP: Tensor) -> Tensor | None:
        """The loss alone, [C]; None where this does not pay."""
        ...

    def conv_gradient(
        self, net: ConvNet, images_SMD: Tensor, targets_SM: Tensor, params_CP: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """[C] mean cross-entropy and its gradient [C, P] on scaled images; None where this does not pay."""
        ...

    def conv_logits(self, net: ConvNet, images_SMD: Tensor, params_CP: Tensor) -> Tensor | None:
        """Scores [C, M, O]; None where this does not pay."""
        ...

    def lstm_gradient(
        self, recurrence: Recurrence, sequences_SMT: Tensor, targets_SM: Tensor, params_CP: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """[C] mean squared error and its gradient [C, P]; None where this does not pay."""
        ...

    def lstm_loss(
        self, recurrence: Recurrence, sequences_SMT: Tensor, targets_SM: Tensor, params_CP: Tensor
    ) -> Tensor | None:
        """The loss alone, [C]; None where this does not pay."""
        ...

    def rule_step(
        self,
        rule: str,
        coefficients: tuple[float, ...],
        rate_C: Tensor,
        grads_CP: Tensor,
        slots_CP: tuple[Tensor, ...],
        params_CP: Tensor,
    ) -> None:
        """params -= rate * direction of a classical rule, slots and params in place (see `optimizers/fused.py`)."""
        ...


class Kernel(Protocol):
    """Computes with the network. All bodies agree within rounding; `reference` defines what is right."""

    name: str
    passes: FusedPasses | None  # None: what is around the network is left to PyTorch

    def step(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_FN: Tensor,
        hidden: Hidden,
        *,
        donate: bool = False,
    ) -> tuple[Tensor, Hidden]:
        """One inner step, without a graph.

        Args:
            network: the architecture.
            meta_params_Q: [Q] flat meta-params.
            features_FN: [F, N] inputs of every coordinate.
            hidden: state before the step.
            donate: whether the buffers of `hidden` may be overwritten and returned as the new state.

        Returns:
            output_N: [N] tanh(x_out) if `network.bounded`, else x_out; and the state after the step.
        """
        ...

    def window_gradient(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_TFN: Tensor,
        hidden: Hidden,
        output_grad_TN: Tensor,
    ) -> Tensor:
        """Gradient of sum_{t,n} output_grad[t, n] * output[t, n] with respect to the meta-params.

        This is the whole backward pass of a window (backpropagation through time inside each coordinate),
        because the features are detached from the meta-params.

        Args:
            network: the architecture.
            meta_params_Q: [Q] flat meta-params.
            features_TFN: [T, F, N] inputs of every step of the window.
            hidden: state at the start of the window (not changed).
            output_grad_TN: [T, N] gradient of the meta-loss with respect to every output.

        Returns:
            [Q] meta-gradient.
        """
        ...
