"""Averages of iterates in use: a step of the direction moves z, and the parameter goes between z and its average.

See `components.averaging`. A parameter of half precision cannot hold what an average gains in a step, so that its
state holds its digits too.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnprop_cli.torch_optim.lawful import PLACE, HorizonLaw
from rnnprop_cli.torch_optim.sharding import local
from rnnprop_cli.torch_optim.state import DIGITS, ITERATE, Layout


class Averages(NamedTuple):
    """What the parameters of one step are averaged with, in the dtype of computation."""

    params: list[Tensor]
    exact: list[Tensor]  # the parameters before the step, at all their digits
    moved: list[Tensor]  # copies of these for the direction to move
    iterates: list[Tensor]
    states: Sequence[Any]

    @classmethod
    def of(cls, layout: Layout, params: list[Tensor], states: Sequence[Any]) -> "Averages":
        """Before a step; what is missing in the states is made."""
        rows = [
            layout.beside(param, state, name)
            for param, state in zip(params, states, strict=True)
            for name in (ITERATE, DIGITS)
        ]
        exact = [
            param.detach() if digits is None else _unrounded(param.detach(), digits)
            for param, digits in zip(params, rows[1::2], strict=True)
        ]
        iterates = [z for z in rows[::2] if z is not None]
        return cls(params, exact, [each.clone() for each in exact], iterates, states)

    def step(self, law: HorizonLaw, groups: Sequence[dict[str, Any]]) -> None:
        """After the direction has moved the copies: the parameters and iterates of the next step.

        Args:
            law: with averages.
            groups: the param group of each parameter.
        """
        alike: dict[tuple[float, float, float], list[int]] = {}
        for index, (state, group) in enumerate(zip(self.states, groups, strict=True)):
            newest, after = law.averaged(group)
            if newest == 0:  # behind the end
                continue
            alike.setdefault((state.get(PLACE, 1.0), newest, after), []).append(index)
            state[PLACE] = after
        for shares, chosen in alike.items():
            exact, moved, iterates = (
                [local(column[j]) for j in chosen] for column in (self.exact, self.moved, self.iterates)
            )
            _average(exact, moved, iterates, *shares)
        for param, found, state in zip(self.params, self.exact, self.states, strict=True):
            if DIGITS in state:
                local(state[DIGITS]).copy_(local(found))
                local(param.detach()).copy_(local(found))


def _unrounded(param: Tensor, digits: Tensor) -> Tensor:
    """The parameter with the digits that it cannot hold, but where somebody else has changed it since."""
    return torch.where(param == digits.to(param.dtype), digits, param.to(digits.dtype))


def _average(
    exact: list[Tensor],
    moved: list[Tensor],
    iterates: list[Tensor],
    before: float,
    newest: float,
    after: float,
) -> None:
    """As `average_in_place`, for many tensors; `moved` is overwritten."""
    torch._foreach_sub_(moved, exact)  # the step
    torch._foreach_sub_(exact, iterates)
    torch._foreach_mul_(exact, 1 / before)
    torch._foreach_add_(exact, iterates)  # the average
    torch._foreach_add_(iterates, moved)
    torch._foreach_lerp_(exact, iterates, newest)
    torch._foreach_lerp_(exact, iterates, 1 - after)
