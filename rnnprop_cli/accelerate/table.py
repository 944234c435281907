"""What a recorded step reads: a row of numbers on the device for each step, in place of a count in Python.

Shape legend: C cells, P coordinates, T steps, K numbers.
"""

from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from rnnprop_cli.components.optimizers.base import Optimizer

Plain = TypeVar("Plain", bound=Optimizer[Any])


class Table(NamedTuple):
    """The numbers of some consecutive steps."""

    numbers_TK: Tensor  # [T, K] on the CPU
    after: Any  # the state behind these steps, but that its tensors are those before them


@runtime_checkable
class Tabled(Optimizer[Any], Protocol):
    """An optimizer whose numbers may lie on the device."""

    def table(self, state: Any, steps: int) -> Table:
        """The numbers of the next steps."""
        ...

    def advance_by(self, numbers_K: Tensor, grads_CP: Tensor, state: Any, params_CP: Tensor) -> None:
        """One step by a row of a table on the device: params and the tensors of the state are overwritten.

        Nothing else of the state is read.
        """
        ...


class Wrapping(Generic[Plain]):
    """An optimizer around another one, whose steps it takes.

    Args:
        plain: defines the steps.
    """

    def __init__(self, plain: Plain) -> None:
        self.plain = plain

    def init(self, params_CP: Tensor) -> Any:
        """See `Optimizer`."""
        return self.plain.init(params_CP)

    def update(
        self, grads_CP: Tensor, state: Any, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, Any]:
        """See `Optimizer`."""
        return self.plain.update(grads_CP, state, params_CP, donate=donate)

    def advance(self, grads_CP: Tensor, state: Any, params_CP: Tensor) -> Any:
        """See `Optimizer`."""
        return self.plain.advance(grads_CP, state, params_CP)

    def evaluated(self, params_CP: Tensor, state: Any) -> Tensor:
        """See `Optimizer`."""
        return self.plain.evaluated(params_CP, state)
