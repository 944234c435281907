"""Saving, loading and copying an optimizer with its state."""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import torch
from torch import Tensor
from torch.optim import Optimizer

from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.torch_optim.arguments import number
from rnnprop_cli.torch_optim.lawful import CLOCK, HorizonLaw, check_saved
from rnnprop_cli.torch_optim.sharding import is_flat_shard, local
from rnnprop_cli.torch_optim.state import STEP, Layout, compute_dtype, joined_rows, split_rows

WEIGHTS_KEY: Final = "weights_sha256"  # in every param group, and so in every state_dict
SKIPPED_KEY: Final = "skipped_steps"  # likewise
OWN: Final = ("weights", "total_steps", "_state_dtype", "_kernel_name", "_advised")  # what a copy is given
# Of param groups that were saved before there was such a key.
DEFAULTS: Final = {
    "weight_decay": 0.0,
    "maximize": False,
    "skip_nonfinite": False,
    SKIPPED_KEY: 0,
    **dict.fromkeys(CLOCK, 0),
}


@dataclass(frozen=True)
class _Loaded:
    """An entry of a saved state on its way past PyTorch, which would cast it to the dtype of the parameter."""

    entry: Any


class SavedState(Optimizer):
    """An optimizer whose state can be saved and loaded as that of any other, exactly."""

    weights: Weights
    total_steps: int | None = None
    _state_dtype: torch.dtype | None = None
    _law: HorizonLaw | None = None

    # What can be made anew from the weights and the settings.
    _layout: Layout

    @abstractmethod
    def _prepare(self) -> None:
        """Makes what no copy and no saved state holds."""

    def state_dict(self) -> dict[str, Any]:
        """As in `torch.optim.Optimizer`. For parameters of FSDP1, every row of `hidden` and `cell` is an entry."""
        packed: dict[str, Any] = super().state_dict()
        for key, param in zip(_keys_of(packed), self._params(), strict=True):
            if is_flat_shard(param) and key in packed["state"]:
                packed["state"][key] = split_rows(packed["state"][key], compute_dtype(param))
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in `torch.optim.Optimizer`; the next step is exactly that of the optimizer that was saved.

        The state is checked before anything changes, and copied: it shares no memory with what was loaded.

        Raises:
            ValueError: it was saved with other weights or for other parameters, or holds what no state can hold.
        """
        # Behind the hooks of others, which may change the state that is loaded.
        handle = self.register_load_state_dict_pre_hook(lambda _, loaded: self._checked(loaded))
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()

    def _checked(self, loaded: dict[str, Any]) -> dict[str, Any]:
        """The state dict with the entries of ours wrapped."""
        own_sha256 = self.weights.tensors_sha256
        for group in loaded["param_groups"]:
            if WEIGHTS_KEY not in group:
                raise ValueError(
                    f"this is not the state of {type(self).__name__}: its groups name no weights"
                )
            if group[WEIGHTS_KEY] != own_sha256:
                raise ValueError(
                    f"the state was saved with other weights (SHA-256 {str(group[WEIGHTS_KEY])[:12]}, here "
                    f"{own_sha256[:12]} from {self.weights.source}): it means nothing to these"
                )
            check_group(dict(group))
        state = dict(loaded["state"])
        for key, param in zip(
            _keys_of(loaded), self._params(), strict=False
        ):  # PyTorch compares their numbers
            if key not in state:
                continue
            entries = joined_rows(state[key], self._layout.rows)
            for name in entries.keys() & {*self._layout.every}:
                try:
                    self._layout.check(param, name, entries[name])
                except ValueError as error:
                    raise ValueError(
                        f"this is not the state of {type(self).__name__} for these parameters: "
                        f"of parameter {key}, {error}"
                    ) from None
                entries[name] = _Loaded(entries[name])
            state[key] = entries
        check_saved(
            loaded["param_groups"], (each for each in loaded["state"].values() if STEP in each), self._law
        )
        return {**loaded, "state": state}

    def __getstate__(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in OWN}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Called for a copy of an optimizer, and by `load_state_dict`."""
        self.__dict__ |= {
            name: value for name, value in state.items() if name not in ("state", "param_groups")
        }
        self._prepare()
        self.state = defaultdict(dict)  # what was there goes before its successor is made
        for param, entries in state["state"].items():
            if not isinstance(param, Tensor):
                continue
            for name in entries.keys() & {*self._layout.every}:
                entry = entries[name]
                if isinstance(entry, _Loaded):
                    entries[name] = self._layout.taken_over(param, name, entry.entry)
                elif _shares_storage(entry):
                    entries[name] = self._layout.taken_over(param, name, entry)
        for group in state["param_groups"]:
            for name, value in DEFAULTS.items():
                group.setdefault(name, value)
        super().__setstate__(state)

    def _params(self) -> Iterable[Tensor]:
        return chain.from_iterable(group["params"] for group in self.param_groups)


def check_group(group: dict[str, Any]) -> None:
    """Checks the numbers of a param group and brings them into the form in which they are kept.

    Raises:
        TypeError: one is no number.
        ValueError: one is out of range.
    """
    for name in ("lr", "weight_decay"):
        if name in group:
            group[name] = number(name, group[name])


def _keys_of(state_dict: dict[str, Any]) -> Iterator[Any]:
    """The keys of the parameters in the order of their groups."""
    return chain.from_iterable(group["params"] for group in state_dict["param_groups"])


def _shares_storage(entry: Any) -> bool:
    """Whether a tensor is a part of a larger buffer, as version 0.1 pickled it."""
    return isinstance(entry, Tensor) and local(entry).untyped_storage().nbytes() > local(entry).nbytes
