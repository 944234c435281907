"""Which functions can be optimised, and their settings."""

from typing import Annotated, Final, Literal

from pydantic import Field

from rnnprop_cli.fields import PositiveInt, Spec

Activation = Literal["sigmoid", "relu", "elu", "tanh"]
ImageDataset = Literal["digits", "mnist", "cifar10"]
Init = Literal[
    "paper", "torch"
]  # paper: every weight and bias ~ Normal(0, std 0.1); torch: torch.nn's default

# c: 3x3 convolution + ReLU, p: 2x2 max-pool, f: fully connected; the last f is the output layer
LAYOUT_PATTERN: Final = r"^c(-[cp])*(-f)+$"


class MLPSpec(Spec):
    """Cross-entropy of a multilayer perceptron (the base MLP: one hidden layer of 20 sigmoid units)."""

    kind: Literal["mlp"] = "mlp"
    dataset: ImageDataset = "mnist"
    depth: Annotated[int, Field(ge=0, le=64)] = 1  # hidden layers
    hidden: PositiveInt = 20
    activation: Activation = "sigmoid"
    init: Init = "paper"

    @property
    def label(self) -> str:
        """Short name for tables; dataset and depth have columns of their own."""
        width = "" if self.hidden == 20 else f" {self.hidden}"
        init = "" if self.init == "paper" else " torch-init"
        return f"mlp{width} {self.activation}{init}"


class ConvSpec(Spec):
    """Cross-entropy of a convolutional network (section 5.4.1)."""

    kind: Literal["conv"] = "conv"
    dataset: Literal["mnist", "cifar10"] = "mnist"
    layout: Annotated[str, Field(pattern=LAYOUT_PATTERN)] = "c-c-p-f"
    init: Init = "paper"

    @property
    def label(self) -> str:
        """Short name for tables."""
        return f"conv {self.layout}" + ("" if self.init == "paper" else " torch-init")


class LSTMSpec(Spec):
    """Mean squared error of an LSTM that predicts the next value of a noisy sine (section 5.4.2)."""

    kind: Literal["lstm"] = "lstm"
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    hidden: PositiveInt = 20
    noise: Annotated[float, Field(ge=0)] = 0.1  # standard deviation
    length: Annotated[int, Field(ge=1, le=1000)] = 10
    init: Init = "paper"

    @property
    def label(self) -> str:
        """Short name for tables."""
        parts = [f"lstm noise {self.noise:g}"]
        parts += [] if self.hidden == 20 else [f"hidden {self.hidden}"]
        parts += [] if self.length == 10 else [f"length {self.length}"]
        parts += [] if self.init == "paper" else ["torch-init"]
        return " ".join(parts)


class QuadraticSpec(Spec):
    """The paper's convex function g(x) = mean_i (x_i - v_i)^2, v ~ U[-1, 1]^n (equation 4), x_0 = 0."""

    kind: Literal["quadratic"] = "quadratic"
    dimension: PositiveInt = 20

    @property
    def label(self) -> str:
        """Short name for tables."""
        return f"quadratic {self.dimension}"


OptimizeeSpec = Annotated[MLPSpec | ConvSpec | LSTMSpec | QuadraticSpec, Field(discriminator="kind")]


def dataset_of(spec: MLPSpec | ConvSpec | LSTMSpec | QuadraticSpec) -> str | None:
    """Name of the dataset that an optimizee needs, None where it makes its own data."""
    return spec.dataset if isinstance(spec, MLPSpec | ConvSpec) else None


def depth_of(spec: MLPSpec | ConvSpec | LSTMSpec | QuadraticSpec) -> int | None:
    """Hidden layers of an MLP, layers of an LSTM, convolutions of a CNN."""
    if isinstance(spec, MLPSpec):
        return spec.depth
    if isinstance(spec, LSTMSpec):
        return spec.layers
    return spec.layout.count("c") if isinstance(spec, ConvSpec) else None


def activation_of(spec: MLPSpec | ConvSpec | LSTMSpec | QuadraticSpec) -> str | None:
    """Activation function of the hidden units."""
    if isinstance(spec, MLPSpec):
        return spec.activation
    return "relu" if isinstance(spec, ConvSpec) else None
