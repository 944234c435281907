"""What every optimizer offers.

Shape legend: C cells, P coordinates.
"""

from typing import Protocol, TypeVar

from torch import Tensor

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
