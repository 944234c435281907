"""What every spec model has in common."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


class Spec(BaseModel):
    """Frozen; refuses unknown keys and numbers in quotes; every default is written in the model."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MisplacedError(ValueError):
    """What a validator of a table raises where a setting inside it is wrong.

    Attributes:
        path: keys and indexes from the table to the setting.
    """

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
PositiveInt = Annotated[int, Field(ge=1, le=1_000_000_000)]
PositiveFloat = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]

# theta_0. paper: every weight and bias ~ Normal(0, std 0.1); torch: torch.nn's default
Init = Literal["paper", "torch"]

# How minibatches are drawn from a dataset.
# - epochs: without replacement, as the paper's authors do: every epoch is a permutation of the training split,
# - replacement: every example independently of all others.
Sampling = Literal["epochs", "replacement"]


def _false_is_off(value: Any) -> Any:
    return None if value is False else value


# On a setting that may be None: TOML has no null, so `setting = false` switches it off.
Off = BeforeValidator(_false_is_off)
