"""What every learned optimizer offers: shapes of its meta-params, its state, and a differentiable step.

That is all that it takes: meta-training follows by automatic differentiation, and so do benchmarks and the drop-in.
What is faster for one architecture is a wrapper in `accelerate`.

Shape legend: C cells, P coordinates, Q meta-params.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from rnnprop_cli.fields import PositiveFloat, Spec
from rnnprop_cli.lazy import no_grad, torch

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Sequence[tuple[int, ...]]


class Context(NamedTuple):
    """Where a step stands, and on what."""

    t: int  # 1, 2, …
    horizon: int | None  # T, steps of the whole trajectory, where that is known
    shapes: Shapes  # of the tensors that the coordinates of a cell are made of
    rate_C: Tensor  # [C] the learning rate: alpha, times its schedule
    loss_C: Tensor | None = None  # [C] at the params, where it is known
    fan_ins: Sequence[int] = ()  # inputs of a unit of each tensor, 0: none of its own; empty: not known
    decay: float = 0.0  # weight decay besides its own, for a law to multiply with its rate


class ArchitectureSpec(Spec, ABC):
    """Settings of a learned optimizer. A subclass names its `kind`."""

    kind: str
    alpha: PositiveFloat = 0.1  # its learning rate; what that means is the architecture's

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.kind

    @property
    def classical(self) -> bool:
        """Whether its direction is a classical rule's, so that it counts among the baselines."""
        return False

    @abstractmethod
    def build(self) -> Architecture:
        """The learned optimizer, but for its meta-params."""


class Architecture(ABC):
    """A learned optimizer without its meta-params.

    Attributes:
        reads_params: whether its updates depend on the params, and not on gradients alone.
    """

    reads_params: bool = True

    @abstractmethod
    def named_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the meta-params, in the order in which the flat vector holds them."""

    @abstractmethod
    def init_meta_params(self, seed: int) -> dict[str, Tensor]:
        """Meta-params at the start of meta-training, float32; a pure function of the seed."""

    @abstractmethod
    def init(self, params_CP: Tensor, shapes: Shapes) -> Any:
        """The state before the first step: tuples, lists and dicts of tensors and numbers.

        A step changes the tensors and numbers in it, never what it is made of.
        """

    @abstractmethod
    def step(
        self,
        meta_params: Mapping[str, Tensor],
        state: Any,
        grads_CP: Tensor,
        params_CP: Tensor,
        context: Context,
    ) -> tuple[Tensor, Any]:
        """One step, differentiable with respect to the meta-params; changes nothing that it is given.

        Nothing may be drawn or kept in it, and no cell may see another.

        Args:
            meta_params: by name.
            state: from `init` or the previous step.
            grads_CP: gradients at the params, detached.
            params_CP: current params.
            context: where the step stands.

        Returns:
            [C, P] what is to be added to the params; and the next state.
        """

    @property
    def n_meta_params(self) -> int:
        """Q."""
        return sum(prod(shape) for _, shape in self.named_shapes())

    def start(self, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """[Q] meta-params at the start of meta-training."""
        return self.flatten(self.init_meta_params(seed)).to(device=device, dtype=dtype)

    def named(self, meta_params_Q: Tensor) -> dict[str, Tensor]:
        """The flat vector as named views (differentiable), e.g. for a checkpoint."""
        views: dict[str, Tensor] = {}
        start = 0
        for name, shape in self.named_shapes():
            size = prod(shape)
            views[name] = meta_params_Q[start : start + size].view(shape)
            start += size
        return views

    def flatten(self, named: Mapping[str, Tensor]) -> Tensor:
        """[Q], the inverse of `named`."""
        return torch.cat([named[name].reshape(-1) for name, _ in self.named_shapes()])


class StepState(NamedTuple):
    """State of a learned optimizer that is used by its step alone."""

    steps: int  # done
    own: Any  # the architecture's


class SeesLoss:
    """An optimizer that may look at the loss.

    Attributes:
        loss_C: [C] at the params of the next step, for whoever knows it to say.
    """

    loss_C: Tensor | None = None


class SteppedOptimizer(SeesLoss):
    """A learned optimizer with given meta-params, for use (no graph).

    Args:
        architecture: whose step it takes.
        meta_params_Q: [Q] flat meta-params.
        rate_C: [C] learning rates.
        shapes: of the tensors of a cell.
        horizon: steps of the trajectory, where that is known.
        factor: schedule, from the steps done to a factor of the rate; None: none.
        fan_ins: see `Context`.
    """

    def __init__(
        self,
        architecture: Architecture,
        meta_params_Q: Tensor,
        rate_C: Tensor,
        shapes: Shapes,
        horizon: int | None = None,
        factor: Callable[[int], float] | None = None,
        fan_ins: Sequence[int] = (),
    ) -> None:
        self.architecture = architecture
        self.meta_params = architecture.named(meta_params_Q)
        self.rate_C, self.shapes, self.horizon = rate_C, shapes, horizon
        self.factor, self.fan_ins = factor, fan_ins

    def init(self, params_CP: Tensor) -> StepState:
        """See `Optimizer`."""
        return StepState(0, self.architecture.init(params_CP.clone(), self.shapes))

    @no_grad
    def update(
        self, grads_CP: Tensor, state: StepState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, StepState]:
        """See `Optimizer`."""
        rate_C = self.rate_C if self.factor is None else self.rate_C * self.factor(state.steps)
        context = Context(state.steps + 1, self.horizon, self.shapes, rate_C, self.loss_C, self.fan_ins)
        updates_CP, own = self.architecture.step(self.meta_params, state.own, grads_CP, params_CP, context)
        return updates_CP, StepState(state.steps + 1, own)

    @no_grad
    def advance(self, grads_CP: Tensor, state: StepState, params_CP: Tensor) -> StepState:
        """See `Optimizer`."""
        # the state may hold on to the params that it was shown
        updates_CP, state = self.update(grads_CP, state, params_CP.clone())
        params_CP += updates_CP
        return state

    def evaluated(self, params_CP: Tensor, state: StepState) -> Tensor:
        """See `Optimizer`."""
        return params_CP
