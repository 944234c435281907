"""A benchmark: a product of optimizees, horizons and optimizers, each measured over seeds."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from rnnprop_cli.components.optimizees import AnyOptimizee
from rnnprop_cli.components.optimizers import AnyOptimizer
from rnnprop_cli.components.optimizers.learned import LAW, LAWS
from rnnprop_cli.fields import Name, Off, PositiveInt, Sampling, Spec
from rnnprop_cli.spec.engine import AnyEngine, LocalEngine

DType = Literal["float32", "float64"]


def _laws_are_learned(rows: Any) -> Any:
    """`schedule = "law"` of AdamW, Schedule-Free or not, means the weights that come with the package."""
    if not isinstance(rows, list | tuple):
        return rows
    return [_lawful(row) if isinstance(row, dict) and row.get("schedule") == LAW else row for row in rows]


def _lawful(row: dict[str, Any]) -> dict[str, Any]:
    weights = LAWS.get(str(row.get("kind")))
    if weights is None:
        return row  # as it is, or refused where it is validated
    if others := sorted(row.keys() - {"kind", "schedule", "lr", "label"}):
        raise ValueError(
            f'schedule = "law" is fitted to {row["kind"]} as it is: {", ".join(others)} cannot be set with it'
        )
    return {**row, "kind": "learned", "weights": weights, "schedule": "constant"}


def _one_is_a_list(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


# A difference between two rates has an interval from two seeds on.
SeveralSeeds = Annotated[int, Field(ge=2, le=1_000_000)]


class TuningSpec(Spec):
    """How the learning rate of every optimizer is searched, alike for all of them; see `plan.tuning`."""

    seeds: PositiveInt = 3  # of the grid; never those of the final runs
    # first round: consecutive points 2^(-k/2) around the centre
    points: Annotated[int, Field(ge=3, le=60)] = 9
    extend_by: Annotated[int, Field(ge=1, le=20)] = 3  # more points whenever the best one lies at an edge
    max_rounds: Annotated[int, Field(ge=1, le=20)] = 6  # of the grid
    # further tuning seeds for the rates that the grid cannot tell from the best; false: the grid alone decides
    confirm_seeds: Annotated[SeveralSeeds | None, Off] = 10

    @model_validator(mode="after")
    def _rounds_have_their_seeds(self) -> Self:
        if self.confirm_seeds and self.seeds < 2:
            raise ValueError(
                "seeds = 1 tells no two rates apart: a search that confirms its best rates needs at least 2 "
                "(or set confirm_seeds = false, and the rate is chosen by luck)"
            )
        return self


Scalar = str | int | float | bool


def _one_or_several(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,)


AnyOf = Annotated[tuple[Scalar, ...], Field(min_length=1), BeforeValidator(_one_or_several)]


class LaneRule(Spec):
    """Picks lanes (an optimizer on an optimizee for a horizon). A list means any of its values; absent means any."""

    # settings of the optimizee, e.g. { activation = "relu", depth = [1, 2] }
    where: dict[str, AnyOf] = Field(default_factory=dict)
    horizon: AnyOf | None = None
    optimizer: AnyOf | None = None  # labels


class OverrideSpec(LaneRule):
    """Other numbers for the lanes that it picks; the last one that fits counts."""

    seeds: PositiveInt | None = None
    tuning_seeds: SeveralSeeds | None = None
    confirm_seeds: SeveralSeeds | None = None


class PaperNumber(Spec):
    """A published final loss, for the column beside ours."""

    where: dict[str, AnyOf] = Field(default_factory=dict)
    horizon: PositiveInt = 100
    optimizer: str  # label
    final_loss: Annotated[float, Field(ge=0)]
    source: str = ""  # e.g. "Table 2"


class BenchSpec(Spec):
    """One benchmark matrix, as a file in `bench_specs/` describes it."""

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0  # root of all randomness: another one is another sample
    seeds: PositiveInt = 10  # final runs of every optimizer, paired: same theta_0, same minibatches
    horizon: Annotated[
        tuple[PositiveInt, ...],
        Field(min_length=1, strict=False),
        BeforeValidator(_one_is_a_list, json_schema_input_type=PositiveInt | tuple[PositiveInt, ...]),
    ] = (100,)
    minibatch: PositiveInt = 128
    sampling: Sampling = "epochs"  # of minibatches from a dataset; sequences are fresh at every step
    dtype: DType = "float32"
    # also run AdamW and NadamW with cosine at one setting for all tasks: the honest rivals of whatever is not tuned
    calibrated: bool = True
    untuned: bool = True  # also show every tuned rule at its library's default learning rate
    memory_mb: PositiveInt = 2048  # a batch of cells is split to stay under this
    curve_points: Annotated[int, Field(ge=16)] = (
        2048  # longer loss curves are thinned, min and max of each bin kept
    )
    optimizees: Annotated[tuple[AnyOptimizee, ...], Field(min_length=1, strict=False)]
    optimizers: Annotated[
        tuple[AnyOptimizer, ...], Field(min_length=1, strict=False), BeforeValidator(_laws_are_learned)
    ]
    tuning: TuningSpec = TuningSpec()
    include: Annotated[
        tuple[LaneRule, ...], Field(strict=False)
    ] = ()  # if any: only lanes that one of them picks
    exclude: Annotated[tuple[LaneRule, ...], Field(strict=False)] = ()
    override: Annotated[tuple[OverrideSpec, ...], Field(strict=False)] = ()
    paper: Annotated[tuple[PaperNumber, ...], Field(strict=False)] = ()
    # who carries it out; never part of what identifies a benchmark
    engine: Annotated[AnyEngine, Field(discriminator="kind")] = LocalEngine()

    @model_serializer(mode="wrap")
    def _told(self, whole: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        plain: dict[str, Any] = whole(self)
        if info.context and info.context.get("identity"):
            del plain["engine"]
        return plain
