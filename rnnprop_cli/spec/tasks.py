"""The tasks of a meta-training: optimizees with how often, how long and on how much data they are met."""

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union

from pydantic import Field, create_model

from rnnprop_cli.components.optimizees import OPTIMIZEES
from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.fields import PositiveInt, Spec
from rnnprop_cli.spec.horizons import Horizon, described, longest


class TaskSettings(Spec):
    """What a table of `[[optimizees]]` in a train spec says besides the settings of the optimizee."""

    weight: Annotated[float, Field(ge=0)] = 1.0  # how often it is drawn, against the others
    # absent: those of the whole recipe
    horizon: Horizon | None = None
    unroll: PositiveInt | None = None
    minibatch: PositiveInt | None = None


def _with_task_settings(model: type[OptimizeeSpec]) -> type[OptimizeeSpec]:
    bases: tuple[type[Any], ...] = (model, TaskSettings)
    task: type[OptimizeeSpec] = create_model(f"{model.__name__}Task", __base__=bases, __doc__=model.__doc__)
    return task


TASKS = {kind: _with_task_settings(model) for kind, model in OPTIMIZEES.items()}

if TYPE_CHECKING:

    class AnyTask(OptimizeeSpec, TaskSettings):
        """One of `TASKS`."""
else:
    AnyTask = Annotated[Union[tuple(TASKS.values())], Field(discriminator="kind")]  # noqa: UP007


class Task(NamedTuple):
    """One of what a learned optimizer is meta-trained on."""

    optimizee: OptimizeeSpec
    weight: float
    horizon: Horizon
    unroll: int
    minibatch: int

    @property
    def longest(self) -> int:
        """Steps of its longest trajectory, which it is validated on."""
        return longest(self.horizon, self.unroll)

    @property
    def label(self) -> str:
        """For tables."""
        optimizee = self.optimizee
        parts = [optimizee.dataset_label, optimizee.network]
        parts += [None if optimizee.n_layers is None else f"d{optimizee.n_layers}"]
        return " ".join([*filter(None, parts), f"x{described(self.horizon)}"])
