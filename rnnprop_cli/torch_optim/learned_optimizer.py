"""What RNNprop and DMOptimizer share as `torch.optim.Optimizer`.

All parameters of a device are stepped together: their gradients are gathered into one vector, the network computes one
fused step, and the updates are added to the parameters. Parameters without a gradient are left out and keep their
state, as in every optimizer of PyTorch; from then on they form a block of their own.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Final, get_args, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from rnnprop_cli.errors import UsageError
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.kernels.select import KernelName
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.torch_optim.block import Block, compute_dtype, steps_of
from rnnprop_cli.torch_optim.capture import refuse_capture
from rnnprop_cli.torch_optim.stepper import Stepper

STATE_DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
WEIGHTS_KEY: Final = "weights_sha256"  # in every param group, and so in every state_dict

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


class LearnedOptimizer(Optimizer):
    """A learned optimizer with trained weights, as `torch.optim.Optimizer`.

    Args:
        params: parameters, or dicts that define param groups with their own `lr`, `weight_decay` and `maximize`.
        lr: alpha, which the network's output is multiplied with (equation 7 of the paper); None takes what the weights
            were trained with, 0.1 by the paper's recipe. Schedulers may change it. Any value >= 0.
        weights: name of weights that come with the package (`rnnprop weights list`), a `.safetensors` file, the name or
            id of a meta-training in `database` (`NAME@N`: its checkpoint after N meta-iterations), or a `Weights`.
            None: the shipped "rnnprop" for RNNprop, "dm" for DMOptimizer.
        weight_decay: decoupled, as in AdamW: params are multiplied with 1 - lr * weight_decay before the step.
        maximize: go up instead of down.
        state_dtype: of the LSTM's state, 80 of the 82 numbers that RNNprop keeps per coordinate; torch.bfloat16 halves
            it. None: float32 (float64 for float64 parameters).
        kernel: "auto" takes the fast body of each device; "reference" is plain PyTorch. "cpu" and "cuda" insist.
        database: where to look for meta-trainings, e.g. "results/rnnprop.db".

    Raises:
        UsageError: there are no such weights, or they are another optimizer's.
        CheckpointError: their file is damaged.
        ValueError: a setting is out of range.
        TypeError: a parameter is not a real floating-point tensor.
    """

    kind: ClassVar[str]  # of the architecture that the weights must have, and the name of the shipped ones
    accumulators: ClassVar[tuple[str, ...]]  # what the rule accumulates per coordinate

    # What can be made anew from the state, the param groups and the weights.
    _stepper: Stepper
    _blocks: list[Block]  # of the parameters that moved in the last step
    _place: dict[Tensor, tuple[Block, int]]  # where each of them is

    def __init__(
        self,
        params: Params,
        lr: float | Tensor | None = None,
        *,
        weights: str | Path | Weights | None = None,
        weight_decay: float = 0.0,
        maximize: bool = False,
        state_dtype: torch.dtype | None = None,
        kernel: KernelName = "auto",
        database: str | Path | None = None,
    ) -> None:
        if state_dtype is not None and state_dtype not in STATE_DTYPES:
            raise ValueError(
                f"state_dtype must be one of {', '.join(map(str, STATE_DTYPES))}, not {state_dtype}"
            )
        if kernel not in get_args(KernelName):
            raise ValueError(f"kernel must be one of {', '.join(get_args(KernelName))}, not {kernel!r}")
        self.weights = _weights(self.kind if weights is None else weights, database, self.kind)
        self._state_dtype = state_dtype
        self._kernel_name: KernelName = kernel
        self._forget_caches()
        alpha = self.weights.architecture.alpha
        defaults = {
            "lr": alpha if lr is None else lr,
            "weight_decay": weight_decay,
            "maximize": maximize,
            WEIGHTS_KEY: self.weights.tensors_sha256,
        }
        super().__init__(params, defaults)

    @abstractmethod
    def _features(self, steps: int, accumulators_1N: list[Tensor]) -> Any:
        """The rule's state from what it accumulates, after `steps` steps; shares memory with it."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in `torch.optim.Optimizer`; the new parameters start a trajectory of their own."""
        if param_group.get("lr", 0) is None:
            param_group["lr"] = self.weights.architecture.alpha
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            for param in group["params"]:
                if not param.is_floating_point():
                    remedy = "; split it by torch.view_as_real" if param.is_complex() else ""
                    raise TypeError(
                        f"{type(self).__name__} steps real floating-point parameters, not {param.dtype}{remedy}"
                    )
            for name in ("lr", "weight_decay"):
                if not isinstance(group[name], int | float | Tensor):
                    raise TypeError(f"{name} must be a number, not {group[name]!r}")
                if not float(group[name]) >= 0:
                    raise ValueError(f"{name} must be 0 or more, not {group[name]}")
        except (TypeError, ValueError):
            self.param_groups.pop()  # a refused group leaves nothing behind
            raise

    def reset(self) -> None:
        """Forgets every trajectory: the next step is the first, as on a new optimizer."""
        self.state.clear()
        self._forget_caches()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in `torch.optim.Optimizer`; the next step is exactly that of the optimizer that was saved.

        Raises:
            ValueError: it was saved with other weights, or for other parameters.
        """
        own_sha256 = self.weights.tensors_sha256
        final: dict[str, Any] = {}  # as the hooks of others leave it

        def check(_: Optimizer, loaded: dict[str, Any]) -> None:
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
            for entries in loaded["state"].values():
                if not all(isinstance(value, Tensor) for value in entries.values()):
                    raise ValueError(
                        f"this is not the state of {type(self).__name__}: it holds other than tensors"
                    )
            final.update(loaded)

        handle = self.register_load_state_dict_pre_hook(check)
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()
        # PyTorch has cast the state to the dtype of each parameter, which is too narrow for that of a bf16 one.
        saved = (key for group in final["param_groups"] for key in group["params"])
        own = (param for group in self.param_groups for param in group["params"])
        for key, param in zip(saved, own, strict=True):
            if key in final["state"]:
                self.state[param] = {
                    name: value.detach().to(param.device if value.dim() else "cpu", copy=True)
                    for name, value in final["state"][key].items()
                }
        self._forget_caches()

    def __repr__(self) -> str:
        sha256 = self.weights.tensors_sha256
        return super().__repr__().replace(sha256, f"{sha256[:12]} ({self.weights.source})")

    def __getstate__(self) -> dict[str, Any]:
        own = {name: self.__dict__[name] for name in ("weights", "_state_dtype", "_kernel_name")}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget_caches()

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of every parameter that has a gradient.

        Args:
            closure: computes the loss anew, with gradients; called once.

        Returns:
            What the closure returned.

        Raises:
            RuntimeError: a gradient is sparse, or the step is being captured in a CUDA graph.
        """
        refuse_capture(self)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moving = [self._with_gradient(group["params"]) for group in self.param_groups]
        self._find_blocks([param for params in moving for param in params])
        for block in self._blocks:
            torch._foreach_copy_(block.grads, [_gradient(param) for param in block.params])
        for group, params in zip(self.param_groups, moving, strict=True):
            if group["maximize"] and params:
                torch._foreach_neg_(
                    [block.grads[index] for block, index in map(self._place.__getitem__, params)]
                )
        for block in self._blocks:
            self._stepper.advance(block)
        for group, params in zip(self.param_groups, moving, strict=True):
            if params:
                lr = float(group["lr"])
                if group["weight_decay"]:
                    torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
                updates = [block.updates[index] for block, index in map(self._place.__getitem__, params)]
                torch._foreach_add_(params, updates, alpha=lr)
        return loss

    def _with_gradient(self, params: list[Tensor]) -> list[Tensor]:
        moving = [param for param in params if param.grad is not None]
        for param in moving:
            if _gradient(param).layout is not torch.strided:
                raise RuntimeError(
                    f"{type(self).__name__} does not support sparse gradients: every coordinate takes every step. "
                    "Use a dense embedding, or torch.optim.SparseAdam for these parameters"
                )
        return moving

    def _find_blocks(self, moving: list[Tensor]) -> None:
        """Blocks of the parameters that move now: those of the last step, unless parameters or states have changed."""
        counted = all(block.counted for block in self._blocks)
        if (
            counted
            and len(moving) == len(self._place)
            and all(
                (place := self._place.get(param)) is not None and place[0].holds(place[1], self.state[param])
                for param in moving
            )
        ):
            return
        moves = set(moving)
        # Those that rest get buffers of their own too: views would keep the larger ones alive.
        self._make_blocks(param for param, state in self.state.items() if state and param not in moves)
        self._blocks = self._make_blocks(moving)
        self._place = {
            param: (block, index) for block in self._blocks for index, param in enumerate(block.params)
        }

    def _make_blocks(self, params: Iterable[Tensor]) -> list[Block]:
        alike: dict[object, list[Tensor]] = {}
        for param in params:
            key = (param.device, compute_dtype(param), steps_of(self.state[param]))
            alike.setdefault(key, []).append(param)
        return [
            Block(
                self._stepper.rule.network,
                self.accumulators,
                together,
                [self.state[param] for param in together],
                self._state_dtype,
            )
            for together in alike.values()
        ]

    def _forget_caches(self) -> None:
        self._stepper = Stepper(self.weights, self._kernel_name, self._features)
        self._blocks, self._place = [], {}


def _gradient(param: Tensor) -> Tensor:
    assert param.grad is not None
    return param.grad


def _weights(weights: str | Path | Weights, database: str | Path | None, kind: str) -> Weights:
    if database is not None and not Path(database).expanduser().exists():
        raise UsageError(f"database={str(database)!r}: there is no such file")
    if not isinstance(weights, Weights):
        weights = find_weights(str(weights), None if database is None else Path(database))
    if weights.architecture.kind != kind:
        names = {"rnnprop": "RNNprop", "dm": "DMOptimizer"}
        raise UsageError(
            f"{weights.source}: are weights of {names[weights.architecture.kind]}, not of {names[kind]}; "
            f"use {names[weights.architecture.kind]}(..., weights=...)"
        )
    return weights
