"""What a body may do besides the network, in one pass over memory, and the plain values that it is told in.

Shape legend: C cells, P coordinates, S seeds, M minibatch, N images or coordinates, D inputs, Q meta-params.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.tape import Kept

T = TypeVar("T")
# Activation functions of perceptrons that bodies know.
ACTIVATIONS: Final = ("sigmoid", "relu", "elu", "tanh")
FILTER: Final = 3  # height and width of a convolution


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
    sign: float  # what the gradient is multiplied with, 1 or -1


class TensorSteps(NamedTuple):
    """Many `TensorStep`s column by column: a model may have hundreds, and an object for each takes its time."""

    params: Sequence[Tensor]
    grads: Sequence[Tensor]
    steps: Sequence[Tensor]
    accumulators: Sequence[Sequence[Tensor]]  # a column for each of them
    h: Sequence[Tensor]
    c: Sequence[Tensor]
    rates: Sequence[float]
    decays: Sequence[float]
    signs: Sequence[float]

    def rows(self) -> list[TensorStep]:
        """One by one."""
        accumulators = zip(*self.accumulators, strict=True) if self.accumulators else ((),) * len(self.params)
        columns = self._replace(accumulators=[*accumulators])
        return [*map(TensorStep._make, zip(*columns, strict=True))]

    def of(self, indices: Sequence[int]) -> "TensorSteps":
        """Some of them."""

        def own(column: Sequence[T]) -> list[T]:
            return [column[j] for j in indices]

        return TensorSteps(
            own(self.params), own(self.grads), own(self.steps), [*map(own, self.accumulators)], own(self.h),
            own(self.c), own(self.rates), own(self.decays), own(self.signs),
        )  # fmt: skip


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
        kept: Kept | None = None,
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
            kept: a step's part of a tape of this body, which it fills; `hidden` stays as it is then, and the new state
                is the one in there.
        """
        ...

    def relative_steps(
        self,
        network: Network,
        meta_params_Q: Tensor,
        beta1: float,
        beta2: float,
        eps: float,
        tensors: TensorSteps,
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
        self, perceptron: Perceptron, index_SM: Tensor, params_CP: Tensor, factor_SP: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """[C] mean cross-entropy and its gradient [C, P] on the images `index_SM`; None where this does not pay.

        With factors [S, P] the loss is that of factor times params, the gradient that with respect to the params.
        """
        ...

    def quadratic_gradient(
        self, target_SP: Tensor, clip: float, params_CP: Tensor, factor_SP: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """[C] mean of the squared distances, each at most `clip`, and its gradient [C, P]; likewise."""
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
