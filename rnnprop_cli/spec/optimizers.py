"""Which update rules can be run, and their settings.

The defaults of the classical rules are TensorFlow 1's, because the paper's baselines ran with them. Where they differ
from PyTorch's, the setting that gives PyTorch's rule stands beside it.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rnnprop_cli.spec.base import Decay, PositiveFloat, Spec

LearningRate = Literal["tuned", "default"] | PositiveFloat
ScheduleName = Literal["constant", "cosine", "linear-warmup-cosine", "wsd"]


class BaselineSpec(Spec):
    """Settings that every classical rule has."""

    lr: LearningRate = "tuned"  # tuned: searched on the grid 2^(-k/2); default: the library's own
    schedule: ScheduleName = "constant"
    # shares of the horizon: linear rise (linear-warmup-cosine, wsd) and linear fall at the end (wsd)
    warmup: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    cooldown: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    label: Annotated[str, Field(max_length=60)] = ""

    default_lr: ClassVar[float]
    # k of the grid point 2^(-k/2) around which the search starts
    centre_k: ClassVar[int]

    @property
    def name(self) -> str:
        """Label for tables: the user's, or the kind with its schedule."""
        kind: str = self.kind  # type: ignore[attr-defined]
        return self.label or (kind if self.schedule == "constant" else f"{kind} {self.schedule}")


class SGDSpec(BaselineSpec):
    """theta <- theta - lr g."""

    kind: Literal["sgd"] = "sgd"
    default_lr: ClassVar[float] = 0.01
    centre_k: ClassVar[int] = -2


class MomentumSpec(BaselineSpec):
    """m <- momentum m + (1 - dampening) g; theta <- theta - lr m. Table 1 of the paper is dampening = momentum."""

    kind: Literal["momentum"] = "momentum"
    momentum: Decay = 0.9
    dampening: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False
    default_lr: ClassVar[float] = 0.01
    centre_k: ClassVar[int] = 3


class AdagradSpec(BaselineSpec):
    """G <- G + g^2; theta <- theta - lr g / (sqrt(G) + eps). PyTorch: initial_accumulator = 0, eps = 1e-10."""

    kind: Literal["adagrad"] = "adagrad"
    initial_accumulator: Annotated[float, Field(ge=0)] = 0.1
    eps: Annotated[float, Field(ge=0)] = 0.0
    default_lr: ClassVar[float] = 0.01
    centre_k: ClassVar[int] = 2


class AdadeltaSpec(BaselineSpec):
    """Zeiler 2012; lr multiplies the step. PyTorch: rho = 0.9, eps = 1e-6."""

    kind: Literal["adadelta"] = "adadelta"
    rho: Decay = 0.95
    eps: PositiveFloat = 1e-8
    default_lr: ClassVar[float] = 1.0
    centre_k: ClassVar[int] = -12


class RMSpropSpec(BaselineSpec):
    """v <- decay v + (1 - decay) g^2; theta <- theta - lr g / sqrt(v + eps).

    PyTorch: decay = 0.99, eps = 1e-8, eps_inside_root = false, initial_mean_square = 0.
    """

    kind: Literal["rmsprop"] = "rmsprop"
    decay: Decay = 0.9
    eps: PositiveFloat = 1e-10
    eps_inside_root: bool = True
    initial_mean_square: Annotated[float, Field(ge=0)] = 1.0
    default_lr: ClassVar[float] = 0.001
    centre_k: ClassVar[int] = 8


class AdamSpec(BaselineSpec):
    """Kingma & Ba 2015."""

    kind: Literal["adam"] = "adam"
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    default_lr: ClassVar[float] = 0.001
    centre_k: ClassVar[int] = 11


class AdamWSpec(BaselineSpec):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    default_lr: ClassVar[float] = 0.001
    centre_k: ClassVar[int] = 11


class NAdamSpec(BaselineSpec):
    """Adam with Nesterov momentum (Dozat 2016)."""

    kind: Literal["nadam"] = "nadam"
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    momentum_decay: Annotated[float, Field(ge=0)] = 0.004
    default_lr: ClassVar[float] = 0.002
    centre_k: ClassVar[int] = 11


class NAdamWSpec(BaselineSpec):
    """NAdam with decoupled weight decay, the strongest of AlgoPerf's tuned baselines (Dahl et al. 2023)."""

    kind: Literal["nadamw"] = "nadamw"
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    momentum_decay: Annotated[float, Field(ge=0)] = 0.004
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    default_lr: ClassVar[float] = 0.002
    centre_k: ClassVar[int] = 11


class ScheduleFreeAdamWSpec(BaselineSpec):
    """Defazio et al. 2024. It needs no schedule; its rate rises over the first `warmup` share of the horizon."""

    kind: Literal["schedule-free-adamw"] = "schedule-free-adamw"
    schedule: Literal["constant"] = "constant"
    beta1: Annotated[float, Field(gt=0, lt=1)] = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    default_lr: ClassVar[float] = 0.0025
    centre_k: ClassVar[int] = 10


class LionSpec(BaselineSpec):
    """Chen et al. 2023."""

    kind: Literal["lion"] = "lion"
    beta1: Decay = 0.9
    beta2: Decay = 0.99
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    default_lr: ClassVar[float] = 1e-4
    centre_k: ClassVar[int] = 15


class MuonSpec(BaselineSpec):
    """Jordan et al. 2024 on weight matrices but the output layer's; Adam on all other coordinates."""

    kind: Literal["muon"] = "muon"
    momentum: Decay = 0.95
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    default_lr: ClassVar[float] = 0.001
    centre_k: ClassVar[int] = 9


class LearnedSpec(Spec):
    """A meta-trained optimizer, by the name of shipped weights, a meta-training's name or id, or a file."""

    kind: Literal["learned"] = "learned"
    weights: Annotated[str, Field(min_length=1, max_length=400)]
    # alpha of equation 7. None: the value it was meta-trained with; tuned: searched as for the classical rules
    lr: PositiveFloat | Literal["tuned"] | None = None
    label: Annotated[str, Field(max_length=60)] = ""

    centre_k: ClassVar[int] = 6  # 0.125, beside the paper's 0.1

    @property
    def name(self) -> str:
        """Label for tables: the user's, or the weights' name."""
        name = self.weights.rsplit("/", 1)[-1].removesuffix(".safetensors")
        return self.label or (f"{name} tuned" if self.lr == "tuned" else name)


ClassicalSpec = (
    SGDSpec
    | MomentumSpec
    | AdagradSpec
    | AdadeltaSpec
    | RMSpropSpec
    | AdamSpec
    | AdamWSpec
    | NAdamSpec
    | NAdamWSpec
    | ScheduleFreeAdamWSpec
    | LionSpec
    | MuonSpec
)
OptimizerSpec = Annotated[ClassicalSpec | LearnedSpec, Field(discriminator="kind")]


class RNNpropSpec(Spec):
    """The paper's optimizer (equations 5-9, Figure 1)."""

    kind: Literal["rnnprop"] = "rnnprop"
    alpha: PositiveFloat = 0.1  # bound of every step (equation 7)
    beta1: Decay = 0.95
    beta2: Decay = 0.95
    eps: PositiveFloat = 1e-8
    embedding: Annotated[int, Field(ge=1, le=256)] = 20
    hidden: Annotated[int, Field(ge=1, le=256)] = 20
    layers: Annotated[int, Field(ge=1, le=4)] = 2


class DMSpec(Spec):
    """DMoptimizer (Andrychowicz et al. 2016) with its log-encoding of the gradient."""

    kind: Literal["dm"] = "dm"
    alpha: PositiveFloat = 0.1  # factor of the output
    p: PositiveFloat = 10.0  # gradients below e^-p are encoded linearly
    hidden: Annotated[int, Field(ge=1, le=256)] = 20
    layers: Annotated[int, Field(ge=1, le=4)] = 2


LearnedArchitecture = Annotated[RNNpropSpec | DMSpec, Field(discriminator="kind")]
