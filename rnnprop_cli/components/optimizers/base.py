"""What every optimizer offers, and the classical rules: a direction, to which the step is proportional.

updates = -lr * factor(t) * direction, so learning rates (one per cell), schedules and weight decay work alike for all
of them.

The defaults of the classical rules are TensorFlow 1's, because the paper's baselines ran with them. Where they differ
from PyTorch's, the setting that gives PyTorch's rule stands beside it.

Shape legend: C cells, P coordinates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

from pydantic import Field

from rnnprop_cli.components.optimizers.schedules import ScheduleName, build_schedule
from rnnprop_cli.fields import PositiveFloat, Spec
from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from rnnprop_cli.components.plugins import Code
    from rnnprop_cli.numerics.layout import MatrixBlock

State = TypeVar("State")


class Optimizer(Protocol[State]):
    """An update rule for a batch of cells."""

    def init(self, params_CP: Tensor) -> State:
        """The state before the first step."""
        ...

    def update(
        self, grads_CP: Tensor, state: State, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, State]:
        """One step.

        Args:
            grads_CP: [C, P] gradients at `params_CP`.
            state: from `init` or the previous `update`.
            params_CP: [C, P] current params (not changed).
            donate: whether the buffers of `state` may be overwritten.

        Returns:
            updates_CP: [C, P], to be added to the params; and the next state.
        """
        ...

    def advance(self, grads_CP: Tensor, state: State, params_CP: Tensor) -> State:
        """One step in place: the params and the buffers of `state` are overwritten; returns the next state."""
        ...

    def evaluated(self, params_CP: Tensor, state: State) -> Tensor:
        """[C, P] where losses are measured at the end; the params themselves, but for rules that keep an average."""
        ...


class Given(NamedTuple):
    """What an optimizer is built from besides its settings."""

    lr_C: Tensor  # [C] learning rates
    horizon: int  # T, steps of the trajectory
    shapes: Sequence[tuple[int, ...]] = ()  # of the tensors that the params of a cell are made of
    matrices: Sequence[MatrixBlock] = ()  # where weight matrices lie in them
    fan_ins: Sequence[int] = ()  # inputs of a unit of each tensor, 0: none of its own; empty: not known


class OptimizerSpec(Spec, ABC):
    """Settings of a row of a benchmark. A subclass names its `kind`."""

    kind: str
    lr: Any
    label: Annotated[str, Field(max_length=60)] = ""

    learned: ClassVar[bool] = False  # whether it comes with weights
    # k of the grid point 2^(-k/2) around which the search starts
    centre_k: ClassVar[int]

    @property
    @abstractmethod
    def name(self) -> str:
        """Label for tables: the user's, or one that follows from the settings."""

    @property
    def start_k(self) -> int:
        """k of the grid point 2^(-k/2) around which the search starts."""
        return self.centre_k

    @property
    def default_rate(self) -> float | None:
        """The library's own learning rate; None where there is none."""
        return None

    @property
    def code(self) -> Code | None:
        """What it runs that is not ours."""
        return None

    def rehearse(self) -> str | None:
        """Tries what it runs that is not ours, before anything is recorded; gives a line that somebody should read.

        Raises:
            CodeError: it does not work.
        """
        return None


LearningRate = Literal["tuned", "default"] | PositiveFloat


class BaselineSpec(OptimizerSpec):
    """Settings that every classical rule has."""

    lr: LearningRate = "tuned"  # tuned: searched on the grid 2^(-k/2); default: the library's own
    schedule: ScheduleName = "constant"
    # shares of the horizon: linear rise (linear-warmup-cosine, wsd) and linear fall at the end (wsd)
    warmup: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    cooldown: Annotated[float, Field(ge=0, le=0.5)] = 0.2

    default_lr: ClassVar[float]

    @property
    def name(self) -> str:
        """See `OptimizerSpec`: the kind with its schedule."""
        scheduled = "" if self.schedule == "constant" else f" {self.schedule}"
        return self.label or f"{self.kind}{scheduled}"

    @property
    def default_rate(self) -> float | None:
        """See `OptimizerSpec`."""
        return self.default_lr

    def rule(self, matrices: Sequence[MatrixBlock] = ()) -> Rule:
        """Its direction; not for a rule that moves the params by more than that."""
        raise NotImplementedError(f"{self.name} has no direction")

    def build(self, given: Given) -> Optimizer[Any]:
        """The optimizer, with one learning rate per cell and its schedule."""
        schedule = build_schedule(self.schedule, given.horizon, self.warmup, self.cooldown)
        return Baseline(self.rule(given.matrices), given.lr_C, schedule)


class FusedForm(NamedTuple):
    """One step of a rule as the compiled bodies take it."""

    rule: str
    coefficients: tuple[float, ...]
    scalar: float = 1.0  # the rule's next `RuleState.scalar`


class RuleState(NamedTuple):
    """State of any classical rule."""

    steps: int  # updates done
    slots_CP: tuple[Tensor, ...]  # the rule's own accumulators, [C, P] each
    scalar: float = 1.0  # the rule's own running product (NAdam), else unused


class Rule(ABC):
    """How a gradient becomes a direction. `direction` overwrites the slots that it is given."""

    @abstractmethod
    def slots(self, params_CP: Tensor) -> tuple[Tensor, ...]:
        """The accumulators before the first step."""

    @abstractmethod
    def direction(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> tuple[Tensor, float]:
        """Direction of step t = state.steps + 1 and the next `scalar`; the slots are updated in place."""

    def timed(self, t: int) -> tuple[float, ...] | None:
        """The numbers of step t = 1, 2, ... that `direction_by` takes; None for a rule that has no such form."""
        return None

    def direction_by(
        self, numbers: Sequence[Any], grads_CP: Tensor, slots_CP: tuple[Tensor, ...], params_CP: Tensor
    ) -> Tensor:
        """The direction of the step whose numbers these are, as numbers or as tensors [] on the device: so it can be
        recorded and used for other steps."""
        raise NotImplementedError("a rule without numbers of its steps")

    def fused_form(self, state: RuleState) -> FusedForm | None:
        """The coefficients of step t = state.steps + 1; None for a rule that no compiled body knows."""
        return None


class Baseline:
    """A classical rule with a learning rate per cell and a schedule.

    Args:
        rule: gives the direction.
        lr_C: [C] learning rates.
        factor: schedule, from the steps done to a factor of the learning rate.
    """

    def __init__(self, rule: Rule, lr_C: Tensor, factor: Callable[[int], float] = lambda count: 1.0) -> None:
        self.rule = rule
        self.lr_C = lr_C
        self.factor = factor

    def init(self, params_CP: Tensor) -> RuleState:
        """See `Optimizer`."""
        return RuleState(0, self.rule.slots(params_CP))

    def update(
        self, grads_CP: Tensor, state: RuleState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, RuleState]:
        """See `Optimizer`."""
        if not donate:
            state = state._replace(slots_CP=tuple(slot.clone() for slot in state.slots_CP))
        direction_CP, scalar = self.rule.direction(grads_CP, state, params_CP)
        updates_CP = direction_CP * (self.lr_C[:, None] * -self.factor(state.steps))
        return updates_CP, RuleState(state.steps + 1, state.slots_CP, scalar)

    def advance(self, grads_CP: Tensor, state: RuleState, params_CP: Tensor) -> RuleState:
        """See `Optimizer`."""
        updates_CP, state = self.update(grads_CP, state, params_CP, donate=True)
        params_CP += updates_CP
        return state

    def evaluated(self, params_CP: Tensor, state: RuleState) -> Tensor:
        """See `Optimizer`."""
        return params_CP


def zeros(params_CP: Tensor, n: int) -> tuple[Tensor, ...]:
    """Accumulators that begin at zero."""
    return tuple(torch.zeros_like(params_CP) for _ in range(n))
