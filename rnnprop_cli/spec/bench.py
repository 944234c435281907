"""A benchmark: a product of optimizees, horizons and optimizers, each measured over seeds."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from rnnprop_cli.spec.base import Name, PositiveInt, Spec
from rnnprop_cli.spec.optimizees import OptimizeeSpec
from rnnprop_cli.spec.optimizers import OptimizerSpec

DType = Literal["float32", "float64"]


def _one_is_a_list(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


class TuningSpec(Spec):
    """How the learning rate of every classical optimizer is searched, alike for all of them."""

    seeds: PositiveInt = 3  # never those of the final runs
    points: Annotated[int, Field(ge=3, le=60)] = (
        9  # first round: consecutive points 2^(-k/2) around the centre
    )
    extend_by: Annotated[int, Field(ge=1, le=20)] = 3  # more points whenever the best one lies at an edge
    max_rounds: Annotated[int, Field(ge=1, le=20)] = 6


class BenchSpec(Spec):
    """One benchmark matrix, as a file in `bench_specs/` describes it."""

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0  # root of all randomness
    seeds: PositiveInt = 10  # final runs of every optimizer, paired: same theta_0, same minibatches
    horizon: Annotated[
        tuple[PositiveInt, ...],
        Field(min_length=1, strict=False),
        BeforeValidator(_one_is_a_list, json_schema_input_type=PositiveInt | tuple[PositiveInt, ...]),
    ] = (100,)
    minibatch: PositiveInt = 128
    dtype: DType = "float32"
    untuned: bool = True  # also show every tuned rule at its library's default learning rate
    memory_mb: PositiveInt = 2048  # a batch of cells is split to stay under this
    optimizees: Annotated[tuple[OptimizeeSpec, ...], Field(min_length=1, strict=False)]
    optimizers: Annotated[tuple[OptimizerSpec, ...], Field(min_length=1, strict=False)]
    tuning: TuningSpec = TuningSpec()
