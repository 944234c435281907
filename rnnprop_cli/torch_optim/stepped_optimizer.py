"""Any learned optimizer as `torch.optim.Optimizer`, by its step alone.

The parameters of a group that are on one device and of one precision are one problem, as they were in meta-training:
their numbers lie side by side, and `context.shapes` says where one ends. So is their state, which belongs to the first
of them. Nothing is remembered between steps but that.

Shape legend: P coordinates of such a problem, Q meta-params.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from rnnprop_cli.components.learned.base import Context
from rnnprop_cli.components.learned.law import LawRule
from rnnprop_cli.components.plugins import code_allowed
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.numerics.trees import form, leaves, rebuilt, with_tensors
from rnnprop_cli.torch_optim.capture import refuse_capture
from rnnprop_cli.torch_optim.find import found_weights
from rnnprop_cli.torch_optim.saved_state import WEIGHTS_KEY, check_group
from rnnprop_cli.torch_optim.sharding import is_flat_shard, is_sharded
from rnnprop_cli.torch_optim.state import compute_dtype
from rnnprop_cli.torch_optim.weights_optimizer import Params

STEP: Final = "step"  # steps done
SHAPES: Final = "shapes"  # of the parameters that it belongs to
LEAVES: Final = "leaves"  # tensors and numbers that the architecture's state is made of
OWN: Final = ("weights", "total_steps", "_allow_code", "_sha256")  # what a copy is given


class LearnedOptimizer(Optimizer):
    """A learned optimizer of any architecture, a user's own too, with its trained weights.

    Args:
        params: parameters, or dicts that define param groups with their own `lr`, `weight_decay` and `maximize`.
        weights: name or id of a finished meta-training in `database` (`NAME@N`: its checkpoint after N
            meta-iterations), a `.safetensors` file, a name of shipped weights, or a `Weights`.
        lr: what the architecture calls its rate; None: alpha, with which it was trained. Schedulers may change it.
        total_steps: how many steps there will be (`context.horizon`), for architectures that ask; None: not known.
        weight_decay: decoupled, as in AdamW: params are multiplied with 1 - lr * weight_decay before the step; under a
            horizon law with 1 - lr * rate * weight_decay.
        maximize: go up instead of down.
        allow_code: import the code that the weights bring along, which runs with your rights; read it first.
        database: where to look for meta-trainings; None: `$RNNPROP_DB`, or results/rnnprop.db if that exists.

    Raises:
        UsageError: there are no such weights, they are not finished, or their code is not allowed.
        CodeError: that code fails.
        CheckpointError: their file is damaged.
        ValueError: a setting is out of range.
        TypeError: a parameter is not a whole, real floating-point tensor.

    Example:
        >>> model = torch.nn.Linear(4, 2)
        >>> optimizer = LearnedOptimizer(model.parameters(), weights="rnnprop", total_steps=100)
        >>> model(torch.ones(1, 4)).square().sum().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: Params,
        weights: str | Path | Weights,
        lr: float | Tensor | None = None,
        *,
        total_steps: int | None = None,
        weight_decay: float = 0.0,
        maximize: bool = False,
        allow_code: bool = False,
        database: str | Path | None = None,
    ) -> None:
        if total_steps is not None and not (type(total_steps) is int and total_steps > 0):
            raise ValueError(f"total_steps must be a whole number of at least 1, not {total_steps!r}")
        self.total_steps, self._allow_code = total_steps, allow_code
        with code_allowed(allow_code):
            self.weights = found_weights(weights, database)
            self._sha256 = self.weights.tensors_sha256
        self._prepare()
        defaults = {
            "lr": self.weights.architecture.alpha if lr is None else lr,
            "weight_decay": weight_decay,
            "maximize": maximize,
            WEIGHTS_KEY: self._sha256,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in `torch.optim.Optimizer`; the new parameters start a trajectory of their own."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            for param in group["params"]:
                if not param.is_floating_point():
                    raise TypeError(
                        f"LearnedOptimizer steps real floating-point parameters, not {param.dtype}"
                    )
                if is_sharded(param) or is_flat_shard(param):
                    raise TypeError(
                        "LearnedOptimizer steps whole parameters, not shards of them; RNNprop steps both"
                    )
            check_group(group)
        except (TypeError, ValueError):
            self.param_groups.pop()  # a refused group leaves nothing behind
            raise

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of every parameter that has a gradient.

        Args:
            closure: computes the loss anew, with gradients; called once. Architectures that look at the loss see it
                only so.

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
        for group in self.param_groups:
            for params in _problems(group["params"]):
                if any(param.grad is not None for param in params):
                    self._advance(group, params, loss)
        return loss

    def _advance(self, group: dict[str, Any], params: list[Tensor], loss: float | None) -> None:
        """One step of parameters that are one problem; those without a gradient count as resting, and stay."""
        if any(param.grad is not None and param.grad.layout is not torch.strided for param in params):
            raise RuntimeError("LearnedOptimizer does not support sparse gradients; use a dense embedding")
        lead = params[0]
        dtype = compute_dtype(lead)
        lr = float(group["lr"])
        params_1P = _side_by_side(params, dtype)
        grads_1P = _side_by_side(
            [torch.zeros_like(param) if param.grad is None else param.grad for param in params], dtype
        )
        shapes = [tuple(param.shape) for param in params]
        kept = self.state[lead]
        if STEP not in kept:
            before = self.architecture.init(params_1P, shapes)
            kept[STEP], kept[SHAPES] = 0, [list(shape) for shape in shapes]
        else:
            before = rebuilt(self._template(params, params_1P), iter(kept[LEAVES]))
        loss_1 = None if loss is None else params_1P.new_tensor([float(loss)])
        rate_1 = params_1P.new_tensor([lr])
        under_law, decay = isinstance(self.architecture, LawRule), float(group["weight_decay"])
        own_decay = decay if under_law else 0.0
        context = Context(kept[STEP] + 1, self.total_steps, shapes, rate_1, loss_1, decay=own_decay)
        meta_params = self.architecture.named(self._meta_params(dtype, lead.device))
        grads_1P = -grads_1P if group["maximize"] else grads_1P
        updates_1P, after = self.architecture.step(meta_params, before, grads_1P, params_1P, context)
        kept[STEP], kept[LEAVES] = kept[STEP] + 1, leaves(after)
        self._templates[lead] = with_tensors(after, lambda tensor: None)
        sizes = [param.numel() for param in params]
        for param, update in zip(params, torch.split(updates_1P[0], sizes), strict=True):
            if param.grad is not None:
                if not under_law:
                    param.mul_(1 - lr * decay)
                param.add_(update.view(param.shape).to(param.dtype))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in `torch.optim.Optimizer`; the next step is exactly that of the optimizer that was saved.

        Raises:
            ValueError: it was saved with other weights or for other parameters. Nothing has changed then.
        """
        for group in state_dict["param_groups"]:
            if group.get(WEIGHTS_KEY) != self._sha256:
                raise ValueError(
                    f"the state was saved with other weights (SHA-256 {str(group.get(WEIGHTS_KEY))[:12]}, here "
                    f"{self._sha256[:12]} from {self.weights.source}): it means nothing to these"
                )
            check_group(dict(group))
        saved = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        own = chain.from_iterable(group["params"] for group in self.param_groups)
        state = dict(state_dict["state"])
        problems = {params[0]: params for group in self.param_groups for params in _problems(group["params"])}
        for key, param in zip(saved, own, strict=False):  # PyTorch compares their numbers
            if key in state:
                self._check(problems.get(param), state[key], key)
                state[key] = {**state[key], LEAVES: _Kept(state[key][LEAVES])}
        super().load_state_dict({**state_dict, "state": state})
        for param, kept in self.state.items():
            kept[LEAVES] = [
                leaf.detach().to(param.device, copy=True) if isinstance(leaf, Tensor) else leaf
                for leaf in kept[LEAVES].entries
            ]

    def _check(self, params: list[Tensor] | None, kept: dict[str, Any], key: Any) -> None:
        """Whether a saved entry can be the state of parameters that are one problem."""
        shapes = [] if params is None else [list(param.shape) for param in params]
        if (
            params
            and kept.keys() == {STEP, SHAPES, LEAVES}
            and (type(kept[STEP]), kept[SHAPES]) == (int, shapes)
        ):
            wanted = leaves(form(self._init(params, _side_by_side(params, compute_dtype(params[0])))))
            if isinstance(kept[LEAVES], list) and leaves(form(kept[LEAVES])) == wanted:
                return
        raise ValueError(
            f"this is not the state of LearnedOptimizer for these parameters (parameter {key}): were they given in "
            "other groups, or in another order?"
        )

    def _template(self, params: list[Tensor], params_1P: Tensor) -> Any:
        if params[0] not in self._templates:
            self._templates[params[0]] = self._init(params, params_1P)
        return self._templates[params[0]]

    @torch.no_grad()
    def _init(self, params: list[Tensor], params_1P: Tensor) -> Any:
        return self.architecture.init(params_1P, [tuple(param.shape) for param in params])

    def _meta_params(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """[Q]."""
        if (dtype, device) not in self._placed:
            named = {
                name: torch.from_numpy(np.asarray(value)) for name, value in self.weights.tensors.items()
            }
            self._placed[dtype, device] = self.architecture.flatten(named).to(device=device, dtype=dtype)
        return self._placed[dtype, device]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), **{name: self.__dict__[name] for name in OWN}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Called for a copy of an optimizer, and by `load_state_dict`."""
        super().__setstate__(state)
        self._prepare()

    def _prepare(self) -> None:
        """What no copy and no saved state holds."""
        with code_allowed(self._allow_code):
            self.architecture = self.weights.rule()
        self._placed: dict[tuple[torch.dtype, torch.device], Tensor] = {}
        self._templates: dict[Tensor, Any] = {}  # what the states are made of


class _Kept:
    """Entries of a saved state on their way past PyTorch, which would cast them to the dtype of the parameter."""

    def __init__(self, entries: list[Any]) -> None:
        self.entries = entries


def _problems(params: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The parameters of a group that are stepped together."""
    together: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for param in params:
        together.setdefault((param.device, compute_dtype(param)), []).append(param)
    yield from together.values()


def _side_by_side(tensors: list[Tensor], dtype: torch.dtype) -> Tensor:
    """[1, P]."""
    return torch.cat([tensor.detach().reshape(-1).to(dtype) for tensor in tensors])[None]
