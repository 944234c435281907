"""A meta-training: which learned optimizer, on which optimizee, by which recipe."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rnnprop_cli.components.learned import AnyArchitecture
from rnnprop_cli.components.optimizees import AnyOptimizee
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.fields import Decay, Name, Off, PositiveFloat, PositiveInt, Sampling, Spec
from rnnprop_cli.spec.bench import DType


class TruncationSpec(Spec):
    """Truncated backpropagation through time: a trajectory is cut into windows of `unroll` steps."""

    horizon: PositiveInt = 100
    unroll: PositiveInt = 20

    @model_validator(mode="after")
    def _windows_fill_the_horizon(self) -> Self:
        if self.horizon % self.unroll:
            raise ValueError(f"horizon {self.horizon} is not a multiple of unroll {self.unroll}")
        return self

    @property
    def windows(self) -> int:
        """Windows, and so updates of the meta-params, per meta-iteration."""
        return self.horizon // self.unroll


class ConvexSpec(Spec):
    """Combination with a convex function (section 4.2)."""

    dimension: PositiveInt = 20
    scaling: Annotated[PositiveFloat | None, Off] = 1.0  # L of its Random Scaling
    clip: PositiveFloat = 10.0  # bound of every squared distance


class MetaOptimizerSpec(Spec):
    """Adam on the meta-params, one update per window."""

    lr: PositiveFloat = 1e-4
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: PositiveFloat = 1e-8
    clip_norm: Annotated[PositiveFloat | None, Off] = None  # clip the meta-gradient to this norm


class ValidationSpec(Spec):
    """Final loss on the unscaled task, on seeds that meta-training never uses."""

    every: PositiveInt = 100  # meta-iterations
    seeds: PositiveInt = 4


class CheckpointSpec(Spec):
    """When meta-params are kept."""

    every: PositiveInt = 1000  # kept for good, candidates for the final choice
    rolling: PositiveInt = 50  # the latest two are kept, for --resume
    # Which kept checkpoint becomes the result: that with the lowest
    # - epoch_average: moving average with decay 0.9 over the mean train losses of 100 meta-iterations each, which is
    #   most likely what the paper means for RNNprop: the authors' program logs such means,
    # - moving_average: the same decay over single meta-iterations; sees some ten of them, which chance decides,
    # - mean_loss: mean train loss since the checkpoint before,
    # - validation: loss on the validation task, the paper's choice for DMoptimizer.
    select: Literal["epoch_average", "moving_average", "mean_loss", "validation"] = "epoch_average"


class TrainSpec(Spec):
    """One meta-training, as a file in `bench_specs/train_*.toml` describes it. The defaults are the paper's."""

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    meta_iterations: PositiveInt = 15_000
    optimizer: AnyArchitecture
    optimizee: AnyOptimizee = MLPSpec()
    minibatch: PositiveInt = 128
    sampling: Sampling = "epochs"  # of minibatches from a dataset
    dtype: DType = "float32"
    meta_loss: Literal["last", "mean"] = "last"
    meta_batch: PositiveInt = 1  # tasks per meta-iteration, their meta-gradients averaged
    random_scaling: Annotated[PositiveFloat | None, Off] = None  # L of section 4.1; absent: off
    convex: Annotated[ConvexSpec | None, Off] = None  # absent: off
    truncation: TruncationSpec = TruncationSpec()
    meta_optimizer: MetaOptimizerSpec = MetaOptimizerSpec()
    validation: ValidationSpec = ValidationSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()
