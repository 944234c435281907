"""A learned optimizer as a row of a benchmark; what it is, its weights say (`components.learned`)."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from rnnprop_cli.components.optimizers.base import OptimizerSpec
from rnnprop_cli.components.optimizers.schedules import ScheduleName, build_schedule
from rnnprop_cli.fields import PositiveFloat

LAW: Final = "law"
# weights that are a classical rule under a horizon law
LAWS: Final = {"adamw": "adamw-law", "schedule-free-adamw": "schedule-free-law"}
SUFFIX: Final = ".safetensors"


class LearnedSpec(OptimizerSpec):
    """A meta-trained optimizer, by the name of shipped weights, a meta-training's name or id, or a file."""

    kind: Literal["learned"] = "learned"
    weights: Annotated[str, Field(min_length=1, max_length=400)]
    # alpha of equation 7. None: the value it was meta-trained with; tuned: searched as for the classical rules
    lr: PositiveFloat | Literal["tuned"] | None = None
    # of alpha, as the classical rules have it of their learning rates; law: the horizon law that was fitted to these
    # weights (`NAME-law`), of which lr is then a factor
    schedule: ScheduleName | Literal["law"] = "constant"
    warmup: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    cooldown: Annotated[float, Field(ge=0, le=0.5)] = 0.2

    learned: ClassVar[bool] = True
    centre_k: ClassVar[int] = 6  # 0.125, beside the paper's 0.1

    @property
    def name(self) -> str:
        """Label for tables: the user's, or the weights' name with the schedule."""
        parts = [self.weights.rsplit("/", 1)[-1].removesuffix(SUFFIX)]
        parts += ["tuned"] if self.lr == "tuned" else []
        parts += [] if self.schedule == "constant" else [self.schedule]
        return self.label or " ".join(parts)

    @model_validator(mode="after")
    def _one_law_is_enough(self) -> Self:
        if self.schedule == LAW and self.weights.removesuffix(SUFFIX).endswith(f"-{LAW}"):
            raise ValueError(f'weights "{self.weights}" have a law already: leave schedule = "law" out')
        return self

    @property
    def start_k(self) -> int:
        """See `OptimizerSpec`: a law is its own centre."""
        return 0 if self.weights_name.removesuffix(SUFFIX).endswith(f"-{LAW}") else self.centre_k

    @property
    def weights_name(self) -> str:
        """What its weights are called, with the law if it has one."""
        if self.schedule != LAW:
            return self.weights
        name, at, checkpoint = self.weights.removesuffix(SUFFIX).partition("@")
        return f"{name}-{LAW}{at}{checkpoint}{SUFFIX if self.weights.endswith(SUFFIX) else ''}"

    def factor(self, horizon: int) -> Callable[[int], float] | None:
        """From the steps done to a factor of alpha; None: none."""
        if self.schedule == "constant" or self.schedule == LAW:
            return None
        return build_schedule(self.schedule, horizon, self.warmup, self.cooldown)

    @model_serializer(mode="wrap")
    def _told(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a schedule it is what it was before there were any, and so are its cells."""
        plain: dict[str, Any] = whole(self)
        if self.schedule == "constant":
            for name in ("schedule", "warmup", "cooldown"):
                plain.pop(name, None)
        return plain
