"""Parameters that have taken the same steps, their state side by side, so that one pass moves them all.

Shape legend: N coordinates of all parameters of a block, n coordinates of one of them, L LSTM layers, H hidden units.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.base import Hidden, Network

STEP: Final = "step"
HIDDEN: Final = "hidden"  # [L, H, n] outputs of the LSTM layers
CELL: Final = "cell"  # [L, H, n] their cell states


def compute_dtype(param: Tensor) -> torch.dtype:
    """The dtype that a parameter's step is computed in: float64 for float64, else float32."""
    return torch.float64 if param.dtype == torch.float64 else torch.float32


class Block:
    """State of some parameters in flat buffers; what `optimizer.state` holds for each of them are views of these.

    Args:
        network: of the learned optimizer.
        accumulators: names of what the rule accumulates per coordinate, e.g. "exp_avg".
        params: on one device, of one compute dtype, after the same number of steps.
        states: of each parameter, from `optimizer.state`; filled with views, and what was there is taken over.
        state_dtype: of `hidden` and `cell`; None: the compute dtype.
    """

    def __init__(
        self,
        network: Network,
        accumulators: Sequence[str],
        params: Sequence[Tensor],
        states: Sequence[dict[str, Any]],
        state_dtype: torch.dtype | None,
    ) -> None:
        self.params = list(params)
        self.device = params[0].device
        self.dtype = compute_dtype(params[0])
        sizes = [param.numel() for param in params]
        self.n_coordinates = sum(sizes)
        self.steps = steps_of(states[0])
        self._step = torch.tensor(self.steps, dtype=torch.float32)  # whatever the default dtype is
        options: dict[str, Any] = {"dtype": self.dtype, "device": self.device}
        self.grads_1N = torch.empty(1, self.n_coordinates, **options)
        self.updates_1N = torch.zeros(1, self.n_coordinates, **options)
        self.accumulators_1N = [torch.zeros(1, self.n_coordinates, **options) for _ in accumulators]
        self.hidden = network.zero_hidden(self.n_coordinates, state_dtype or self.dtype, self.device)
        self.grads = self._views(self.grads_1N, sizes)
        self.updates = self._views(self.updates_1N, sizes)
        names = [*accumulators, HIDDEN, CELL]
        flat = [self._views(each, sizes) for each in self.accumulators_1N]
        wide = [torch.split(each, sizes, dim=-1) for each in self.hidden]
        self._seen: list[tuple[list[int], torch.dtype]] = []  # what each parameter and its state were then
        self._kept: list[list[Tensor]] = []  # alive, so that no other tensor gets the id of one of them
        for param, state, *views in zip(params, states, *flat, *wide, strict=True):
            named = dict(zip(names, views, strict=True))
            for name, view in named.items():
                if name in state:
                    view.copy_(state[name].reshape(view.shape))
            state.update(named)
            state[STEP] = self._step
            self._kept.append(list(state.values()))
            self._seen.append((list(map(id, state.values())), param.dtype))

    def holds(self, index: int, state: dict[str, Any]) -> bool:
        """Whether a parameter and its state are still what they were: not loaded, moved, cast or cleared since."""
        param, (ids, dtype) = self.params[index], self._seen[index]
        return list(map(id, state.values())) == ids and param.dtype is dtype and param.device == self.device

    @property
    def counted(self) -> bool:
        """Whether the steps are as many as were counted here: nobody has set them since."""
        return steps_of({STEP: self._step}) == self.steps

    def count_step(self) -> None:
        """One step more."""
        self.steps += 1
        self._step += 1

    def chunks(self, size: int) -> list[slice]:
        """All coordinates, at most `size` at a time."""
        return [slice(start, start + size) for start in range(0, self.n_coordinates, size)]

    def hidden_part(self, part: slice) -> Hidden:
        """State of some coordinates in the compute dtype, contiguous."""
        return Hidden(*(each[..., part].to(self.dtype).contiguous() for each in self.hidden))

    def store_hidden(self, part: slice, hidden: Hidden) -> None:
        """The inverse of `hidden_part`."""
        for kept, new in zip(self.hidden, hidden, strict=True):
            kept[..., part].copy_(new)

    def _views(self, flat_1N: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        parts = torch.split(flat_1N[0], list(sizes))
        return [part.view(param.shape) for part, param in zip(parts, self.params, strict=True)]


def steps_of(state: dict[str, Any]) -> int:
    """Steps that a parameter has taken, 0 before the first."""
    return int(state[STEP]) if STEP in state else 0
