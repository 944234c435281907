"""A meta-training: which learned optimizer, on which optimizees, by which recipe."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from rnnprop_cli.components.learned import AnyArchitecture
from rnnprop_cli.components.optimizees import AnyOptimizee
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.fields import Decay, MisplacedError, Name, Off, PositiveFloat, PositiveInt, Sampling, Spec
from rnnprop_cli.spec.bench import DType
from rnnprop_cli.spec.horizons import Horizon, misfit
from rnnprop_cli.spec.tasks import AnyTask, Task

MOST_CHARACTERS: Final = 40  # of the names of several optimizees, for tables


class TruncationSpec(Spec):
    """Truncated backpropagation through time: a trajectory is cut into windows of `unroll` steps."""

    # of every trajectory; a list or { log_uniform = [20, 200] }: drawn anew for every meta-iteration
    horizon: Horizon = 100
    unroll: PositiveInt = 20

    @model_validator(mode="after")
    def _windows_fill_the_horizon(self) -> Self:
        if (problem := misfit(self.horizon, self.unroll)) is not None:
            raise ValueError(problem)
        return self


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


class EvolutionSpec(Spec):
    """Meta-training without a meta-gradient: candidates are compared on the same draws of optimizee, horizon and data.

    A meta-iteration is a generation. Every candidate takes whole trajectories; its fitness is the mean over the draws
    of the logarithm of its final training loss, against the median candidate's and cut off at `clip` either way.
    """

    # cma: CMA-ES (Hansen 2016), for a handful of numbers
    method: Literal["cma"] = "cma"
    train: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = ("law",)  # names of meta-params
    population: Annotated[int, Field(ge=4, le=1024)] = 12  # candidates
    sigma: PositiveFloat = 0.5  # standard deviation of the first candidates
    draws: PositiveInt = 8  # of optimizee, horizon and data for a generation, `meta_batch` seeds each
    clip: PositiveFloat = 1.0
    evaluation: PositiveInt = 200  # minibatches that a final loss is the mean of, at most
    # what fitness and validation go by; both: geometric mean of training and held-out loss, where there are such data
    measure: Literal["train", "both"] = "train"
    # share of the generations so far, the last ones, whose means are averaged for the result; 0: the last mean, which
    # wanders as far as the noise of the draws goes
    averaged: Annotated[float, Field(ge=0, le=1)] = 0.0


class ValidationSpec(Spec):
    """Final loss on the unscaled task, on seeds that meta-training never uses, after the longest horizon.

    Of several tasks it is the geometric mean, which no task rules by the size of its losses; NaN where one of them is
    not positive. Every task's own loss is recorded beside it.
    """

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
    # last: simply the last one, for results that are averages themselves (`EvolutionSpec.averaged`).
    select: Literal["epoch_average", "moving_average", "mean_loss", "validation", "last"] = "epoch_average"


class TrainSpec(Spec):
    """One meta-training, as a file in `bench_specs/train_*.toml` describes it. The defaults are the paper's."""

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    meta_iterations: PositiveInt = 15_000
    optimizer: AnyArchitecture
    optimizee: AnyOptimizee = MLPSpec()  # the only one, or
    # several, of which every meta-iteration draws one by their weights
    optimizees: Annotated[tuple[AnyTask, ...], Field(min_length=1, strict=False)] = ()
    minibatch: PositiveInt = 128
    sampling: Sampling = "epochs"  # of minibatches from a dataset
    dtype: DType = "float32"
    meta_loss: Literal["last", "mean"] = "last"
    meta_batch: PositiveInt = 1  # tasks per meta-iteration, their meta-gradients averaged
    random_scaling: Annotated[PositiveFloat | None, Off] = None  # L of section 4.1; absent: off
    convex: Annotated[ConvexSpec | None, Off] = None  # absent: off
    truncation: TruncationSpec = TruncationSpec()
    meta_optimizer: MetaOptimizerSpec = MetaOptimizerSpec()
    evolution: Annotated[EvolutionSpec | None, Off] = None  # absent: by meta-gradients
    start: Annotated[str, Field(max_length=400)] = (
        ""  # weights to begin from, as a bench names them; else at random
    )
    validation: ValidationSpec = ValidationSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is trained on: at least one."""
        horizon, unroll = self.truncation.horizon, self.truncation.unroll
        return tuple(
            Task(
                each,
                each.weight,
                horizon if each.horizon is None else each.horizon,
                each.unroll or unroll,
                each.minibatch or self.minibatch,
            )
            for each in self.optimizees
        ) or (Task(self.optimizee, 1.0, horizon, unroll, self.minibatch),)

    @property
    def activation(self) -> str | None:
        """The activation that all optimizees have; None where they differ."""
        found = {task.optimizee.nonlinearity for task in self.tasks}
        return found.pop() if len(found) == 1 else None

    @property
    def trained_on(self) -> str:
        """The optimizees in few words, for tables: with their activations where they have not the same."""
        optimizees = (task.optimizee for task in self.tasks)
        alike = self.activation is not None
        labels = list(dict.fromkeys(each.label if alike else each.network for each in optimizees))
        joined = " + ".join(labels)
        return joined if len(joined) <= MOST_CHARACTERS else f"{len(labels)} optimizees"

    @model_validator(mode="after")
    def _evolution_has_no_gradients(self) -> Self:
        without = {"random_scaling", "convex", "meta_loss", "meta_optimizer"}
        given = sorted(name for name in without & self.model_fields_set if getattr(self, name) is not None)
        if self.evolution is not None and given and self.model_dump(include=without) != _PLAIN:
            raise MisplacedError(f"{given[0]} has no part in [evolution]: leave it out", given[0])
        return self

    @model_validator(mode="after")
    def _tasks_can_be_met(self) -> Self:
        if not self.optimizees:
            return self
        if "optimizee" in self.model_fields_set:
            raise MisplacedError(
                "a train spec has [optimizee] or [[optimizees]], not both: make it one of [[optimizees]]",
                "optimizee",
            )
        if not any(each.weight for each in self.optimizees):
            raise MisplacedError(
                "every weight is 0, so that none is ever drawn: give one of them a weight", "optimizees"
            )
        for index, (own, task) in enumerate(zip(self.optimizees, self.tasks, strict=True)):
            if (problem := misfit(task.horizon, task.unroll)) is not None:
                where = ["horizon"] if own.horizon else ["unroll"] if own.unroll else []
                raise MisplacedError(problem, "optimizees", index, *where)
        return self

    @model_serializer(mode="wrap")
    def _told(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """With one optimizee it is what it was before there could be several."""
        plain: dict[str, Any] = whole(self)
        plain.pop("optimizee" if self.optimizees else "optimizees", None)
        for name in ("evolution", "start"):
            if not plain.get(name):
                plain.pop(name, None)
        return plain


# What plays no part in evolution, as it is where nobody sets it: a stored recipe holds every default.
_PLAIN: Final = {
    "random_scaling": None,
    "convex": None,
    "meta_loss": "last",
    "meta_optimizer": MetaOptimizerSpec().model_dump(),
}
