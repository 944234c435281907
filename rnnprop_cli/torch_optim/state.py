"""What `optimizer.state` holds for a parameter: how it is laid out, made, checked and taken over from a saved state.

Every entry is a contiguous tensor with its own storage. `hidden` and `cell` have a row for each unit of each layer and
behind it the parameter's own shape, so that whoever shards, moves or casts a parameter can do the same to its state.

Shape legend: L LSTM layers, H hidden units, n coordinates of a parameter.
"""

from collections.abc import Sequence
from math import isfinite
from numbers import Real
from operator import itemgetter
from typing import Any, Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.network import Network
from rnnprop_cli.torch_optim.sharding import is_sharded, laid_out_as, local, redistributed

STEP: Final = "step"  # [] float32 on the CPU
HIDDEN: Final = "hidden"  # [L H, *shape] outputs of the LSTM layers
CELL: Final = "cell"  # [L H, *shape] their cell states
# Beside what a direction keeps, where a law averages iterates:
ITERATE: Final = "iterate"  # [*shape] z, which starts where the parameter does
DIGITS: Final = "digits"  # [*shape] of a parameter of half precision: what it would be in float32


STATE_DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)


def compute_dtype(param: Tensor) -> torch.dtype:
    """The dtype that a parameter's step is computed in: float64 for float64, else float32."""
    return torch.float64 if param.dtype == torch.float64 else torch.float32


class Layout:
    """The state of a parameter under one architecture.

    Args:
        network: of the learned optimizer; None where it keeps no state besides what it accumulates.
        accumulators: names of what the rule accumulates per coordinate, e.g. "exp_avg".
        state_dtype: of `hidden` and `cell`; None: the compute dtype.
        averaged: whether a law averages the iterates.
    """

    def __init__(
        self,
        network: Network | None,
        accumulators: Sequence[str],
        state_dtype: torch.dtype | None,
        averaged: bool = False,
    ) -> None:
        self.accumulators = tuple(accumulators)
        self.names = (STEP, *accumulators, *((HIDDEN, CELL) if network else ()))  # of the direction
        self.every = (*self.names, *((ITERATE, DIGITS) if averaged else ()))
        self._values = itemgetter(*self.names)
        self._layers, self._hidden = (network.layers, network.hidden) if network else (0, 0)
        self._state_dtype = state_dtype

    @property
    def rows(self) -> int:
        """Rows of `hidden` and of `cell`."""
        return self._layers * self._hidden

    def columns(self, params: Sequence[Tensor], states: Sequence[Any]) -> list[Sequence[Any]]:
        """The values of each of `names` as they are; what is missing is made. Whether they fit is left to the step."""
        try:
            rows = [*map(self._values, states)]
        except KeyError:
            for param, state in zip(params, states, strict=True):
                self.complete(param, state)
            rows = [*map(self._values, states)]
        return [*zip(*rows, strict=True)] if rows else [()] * len(self.names)

    def complete(self, param: Tensor, state: dict[str, Any]) -> None:
        """Whatever is missing starts at zero; what the step could not work on in place is replaced by a copy.

        Raises:
            ValueError: an entry cannot be the state of this parameter.
        """
        for name in self.names:
            value = state.get(name)
            if value is None:
                state[name] = self._zero(param, name)
            elif not isinstance(value, Tensor) or not self._fits(param, name, value):
                self.check(param, name, value)
                state[name] = self.taken_over(param, name, value)

    def beside(self, param: Tensor, state: dict[str, Any], name: str) -> Tensor | None:
        """`ITERATE` or `DIGITS` of a parameter, which start as the parameter is; None: it has no such entry.

        Raises:
            ValueError: an entry cannot be the state of this parameter.
        """
        dtype = compute_dtype(param)
        if name == DIGITS and param.dtype == dtype:
            return None
        value = state.get(name)
        if value is None:
            held = local(param.detach()).to(dtype, copy=True, memory_format=torch.contiguous_format)
            value = state[name] = laid_out_as(param, held)
        elif not isinstance(value, Tensor) or not self._fits(param, name, value):
            self.check(param, name, value)
            value = state[name] = self.taken_over(param, name, value)
        return value

    def check(self, param: Tensor, name: str, value: Any) -> None:
        """Whether a value can be the entry `name` of the parameter's state.

        Raises:
            ValueError: it cannot; says why.
        """
        if name == STEP:
            _check_step(value)
            return
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} is {value!r}, not a tensor")
        if not value.is_floating_point():
            raise ValueError(f"{name} holds {value.dtype}, not real floating-point numbers")
        shape = self._shape(param, name)
        if value.shape not in (shape, self._released_shape(param, name)):
            raise ValueError(
                f"{name} has the shape {tuple(value.shape)}, not {tuple(shape)}, "
                f"which a parameter of {tuple(param.shape)} has"
            )
        if is_sharded(param) and not is_sharded(value):
            raise ValueError(
                f"{name} is whole and its parameter a shard; load it by torch.distributed.checkpoint.state_dict"
            )

    def taken_over(self, param: Tensor, name: str, value: Any) -> Tensor:
        """A checked value as an entry of its own, sharing no memory with it."""
        if name == STEP:
            return torch.tensor(float(value), dtype=torch.float32, device="cpu")
        dtype = self._dtype(param, name)
        value = local(redistributed(value.detach(), param))
        if value.shape == self._released_shape(param, name):
            value = value.reshape(self._shape(param, name))
        own = torch.empty(value.shape, dtype=dtype, device=local(param).device)
        return laid_out_as(param, own.copy_(value))

    def _zero(self, param: Tensor, name: str) -> Tensor:
        if name == STEP:
            return torch.zeros((), dtype=torch.float32, device="cpu")  # whatever the defaults are
        held = local(param)
        shape = self._shape(held, name)
        return laid_out_as(param, torch.zeros(shape, dtype=self._dtype(param, name), device=held.device))

    def _fits(self, param: Tensor, name: str, value: Tensor) -> bool:
        """Whether the step can work on it in place."""
        if name == STEP:
            return value.is_cpu and value.dtype is torch.float32 and value.dim() == 0
        held, own = local(value), local(param)
        return (
            is_sharded(value) == is_sharded(param)
            and held.shape == self._shape(own, name)
            and held.device == own.device
            and held.is_contiguous()
            and held.dtype in (compute_dtype(param), *STATE_DTYPES)
        )

    def _dtype(self, param: Tensor, name: str) -> torch.dtype:
        narrow = self._state_dtype if name in (HIDDEN, CELL) else None
        return narrow or compute_dtype(param)

    def _shape(self, param: Tensor, name: str) -> torch.Size:
        return torch.Size((self.rows, *param.shape)) if name in (HIDDEN, CELL) else param.shape

    def _released_shape(self, param: Tensor, name: str) -> torch.Size:
        """As version 0.1 saved it."""
        if name in (HIDDEN, CELL):
            return torch.Size((self._layers, self._hidden, param.numel()))
        return param.shape


def _check_step(value: Any) -> None:
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"step is {value!r}, not a number")
    if not (isfinite(value) and float(value) >= 0):
        raise ValueError(f"step is {value}, not a number of steps")


def split_rows(entries: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """The same state with every row of `hidden` and `cell` an entry of its own, all of one dtype.

    FSDP1 gathers and cuts the state of a parameter only where an entry has as many numbers as the parameter.
    """
    split: dict[str, Any] = {}
    for name, value in entries.items():
        if name in (HIDDEN, CELL):
            split |= {f"{name}.{row}": each.to(dtype, copy=True) for row, each in enumerate(value)}
        else:
            split[name] = value
    return split


def joined_rows(entries: dict[str, Any], rows: int) -> dict[str, Any]:
    """The inverse of `split_rows`; anything else stays as it is."""
    joined = dict(entries)
    for name in (HIDDEN, CELL):
        parts = [f"{name}.{row}" for row in range(rows)]
        if parts and all(isinstance(joined.get(part), Tensor) for part in parts):
            joined[name] = torch.stack([joined.pop(part) for part in parts])
    return joined
