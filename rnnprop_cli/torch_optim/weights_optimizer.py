"""What the learned optimizers with shipped weights share as `torch.optim.Optimizer`.

All parameters move in one pass, each with a state of its own (`state.py`); nothing is remembered between steps but the
weights. So whatever others do to parameters and state, as to those of any optimizer of PyTorch, is what the next step
finds. Parameters without a gradient are left out and keep their state.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Final, NamedTuple, cast, get_args, overload

import torch
from torch import Tensor, nn

from rnnprop_cli.components.learned.law import LAW, LawSpec
from rnnprop_cli.errors import UsageError
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.kernels import KernelName
from rnnprop_cli.runs.shipped_weights import shipped_names
from rnnprop_cli.torch_optim.advice import any_nonfinite, first_step_warning, warn
from rnnprop_cli.torch_optim.arguments import check_elsewhere, meant_elsewhere
from rnnprop_cli.torch_optim.averages import Averages
from rnnprop_cli.torch_optim.capture import outside_of_graphs, refuse_capture
from rnnprop_cli.torch_optim.find import direction, weights_for
from rnnprop_cli.torch_optim.lawful import CLOCK, TAKEN, HorizonLaw, check_total_steps, cool_down
from rnnprop_cli.torch_optim.saved_state import SKIPPED_KEY, WEIGHTS_KEY, SavedState, check_group
from rnnprop_cli.torch_optim.sharding import any_process, is_flat_shard

OWN_ARGUMENTS: Final = (
    "lr", "weights", "total_steps", "weight_decay", "maximize", "skip_nonfinite", "state_dtype", "kernel", "database"
)  # fmt: skip

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
PLAIN: Final = {Tensor, nn.Parameter}  # types of parameters that nobody has spread over processes
LAYOUT: Final = attrgetter("layout")


class Moving(NamedTuple):
    """A param group with its parameters that have a gradient."""

    group: dict[str, Any]
    params: list[Tensor]
    grads: list[Tensor]
    lengths: Sequence[float] = ()  # how far each parameter goes at a direction of one
    kept: Sequence[float] = ()  # what is left of it by weight decay


class WeightsOptimizer(SavedState):
    """A learned optimizer with trained weights that steps every parameter by itself: what its kinds have in common.

    See `CoordinatewiseOptimizer` for the arguments. Under a horizon law `weight_decay` is multiplied with its rate too.
    """

    kind: ClassVar[str]  # of the architecture that the weights must have, and the name of the shipped ones
    advises: ClassVar[bool] = (
        True  # whether rates are in units of the params, so that one may be too large for them
    )

    def __init__(
        self,
        params: Params,
        lr: float | Tensor | None = None,
        *,
        weights: str | Path | Weights | None = None,
        total_steps: int | None = None,
        weight_decay: float = 0.0,
        maximize: bool = False,
        skip_nonfinite: bool = False,
        kernel: KernelName = "auto",
        database: str | Path | None = None,
        **elsewhere: Any,
    ) -> None:
        if kernel not in get_args(KernelName):
            raise ValueError(f"kernel must be one of {', '.join(get_args(KernelName))}, not {kernel!r}")
        check_total_steps(total_steps)
        if weights is None:
            weights = self.shipped(total_steps)
        self.weights = weights_for(self.kind, weights, database)
        self.total_steps = total_steps
        check_elsewhere(type(self).__name__, elsewhere, OWN_ARGUMENTS, direction(self.weights).architecture)
        self._kernel_name: KernelName = kernel
        self._advised = False
        if total_steps is not None and not isinstance(self.weights.architecture, LawSpec):
            raise UsageError(
                f"{self.weights.source}: these weights have no horizon law, which total_steps is for; "
                f"{'or '.join(f'take {name!r}, ' for name in shipped_names() if name == f'{self.kind}-{LAW}')}"
                "or fit one: docs/meta_training.md, Horizon laws"
            )
        self._prepare()
        defaults = {
            "lr": self.weights.architecture.alpha if lr is None else lr,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "skip_nonfinite": skip_nonfinite,
            SKIPPED_KEY: 0,
            **dict.fromkeys(CLOCK, 0),
            WEIGHTS_KEY: self.weights.tensors_sha256,
        }
        super().__init__(params, defaults)

    @classmethod
    def shipped(cls, total_steps: int | None) -> str:
        """Name of the weights where none is given."""
        return cls.kind if total_steps is None else f"{cls.kind}-{LAW}"

    @abstractmethod
    def _advance(self, moving: Sequence[Moving], params: list[Tensor], states: list[Any]) -> None:
        """One step of the parameters that have a gradient, which are those of `moving` in their order."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in `torch.optim.Optimizer`; the new parameters start a trajectory of their own."""
        if param_group.get("lr", 0) is None:
            param_group["lr"] = self.weights.architecture.alpha
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        name, architecture = type(self).__name__, direction(self.weights).architecture
        try:
            check_elsewhere(name, meant_elsewhere(group), OWN_ARGUMENTS, architecture)
            for param in group["params"]:
                if not param.is_floating_point():
                    remedy = "; split it by torch.view_as_real" if param.is_complex() else ""
                    raise TypeError(f"{name} steps real floating-point parameters, not {param.dtype}{remedy}")
            check_group(group)
            if self._law is not None and any(map(is_flat_shard, group["params"])):
                raise TypeError(
                    "a horizon law needs to know tensors from one another, which FSDP1 melts: use fully_shard"
                )
            if len(self.param_groups) > 1:  # it comes amid the run
                group.update({name: self.param_groups[0][name] for name in CLOCK})
        except (TypeError, ValueError):
            self.param_groups.pop()  # a refused group leaves nothing behind
            raise

    def cool_down(self, steps: int) -> None:
        """Ends a run whose end was not known: over the next `steps` steps their length falls linearly to 0.

        Raises:
            ValueError: `steps` is no whole number from 1 on, or the weights have no law.
        """
        if self._law is None:
            raise ValueError(
                "cool_down is for weights with a horizon law; a scheduler of PyTorch does it for lr"
            )
        cool_down(self.param_groups, steps)

    def reset(self) -> None:
        """Forgets every trajectory: the next step is the first, as on a new optimizer."""
        self.state.clear()
        for group in self.param_groups:
            group.update(dict.fromkeys(CLOCK, 0))

    @property
    def skipped_steps(self) -> int:
        """Steps left out because a gradient was not finite (see `skip_nonfinite`)."""
        return max((group[SKIPPED_KEY] for group in self.param_groups), default=0)

    def __repr__(self) -> str:
        sha256, plain = self.weights.tensors_sha256, str(super().__repr__())
        return plain.replace(sha256, f"{sha256[:12]} ({self.weights.source})")

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @outside_of_graphs
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
        moving = [self._moving(group) for group in self.param_groups]
        if self._must_skip(moving):
            self._tick()
            return loss
        params = [*chain.from_iterable(each.params for each in moving)]
        states: list[Any] = [*map(self.state.get, params)]
        if not all(states):  # some take their first step
            if self._law is not None:
                everything = chain.from_iterable(group["params"] for group in self.param_groups)
                self._law.measure([param for param in everything if param.requires_grad], self.state)
            elif self.advises and not self._advised:
                self._advise(moving)
            states = [*map(self.state.__getitem__, params)]
        moving = [self._measured(each) for each in moving]
        if self._law is None or not self._averaged:
            self._advance(moving, params, states)
        else:
            averages = Averages.of(self._layout, params, states)
            copies = iter(averages.moved)
            apart = [each._replace(params=[next(copies) for _ in each.params]) for each in moving]
            self._advance(apart, averages.moved, states)
            averages.step(self._law, [each.group for each in moving for _ in each.params])
        self._tick()
        return loss

    def _tick(self) -> None:
        """Counts a step of the run, whoever took part in it."""
        for group in self.param_groups:
            group[TAKEN] += 1

    def _moving(self, group: dict[str, Any]) -> Moving:
        params: list[Tensor] = group["params"]
        grads = [param.grad for param in params]
        if NoneType in {*map(type, grads)}:
            params = [param for param in params if param.grad is not None]
            grads = [grad for grad in grads if grad is not None]
        moving = Moving(group, params, cast(list[Tensor], grads))
        if {*map(LAYOUT, moving.grads)} - {torch.strided}:
            raise RuntimeError(
                f"{type(self).__name__} does not support sparse gradients: every coordinate takes every step. "
                "Use a dense embedding, or torch.optim.SparseAdam for these parameters"
            )
        return moving

    def _must_skip(self, moving: Sequence[Moving]) -> bool:
        """Whether a gradient of those who ask for it is not finite; counts that and says so the first time."""
        asking = [each for each in moving if each.group["skip_nonfinite"]]
        params = [*chain.from_iterable(each.params for each in asking)]
        grads = chain.from_iterable(each.grads for each in asking)
        if not params or not bool(any_process(any_nonfinite(grads), params)):
            return False
        if self.skipped_steps == 0:
            warn(
                f"{type(self).__name__}: a gradient is NaN or infinite; the step is left out, as skip_nonfinite says. "
                "optimizer.skipped_steps counts such steps; this is said once"
            )
        for group in self.param_groups:
            group[SKIPPED_KEY] += 1
        return True

    def _advise(self, moving: Sequence[Moving]) -> None:
        """Warns, once, where the rate dwarfs the initial values of a parameter."""
        for group, params in (each[:2] for each in moving):
            fresh = [param for param in params if not self.state.get(param)]
            text = first_step_warning(float(group["lr"]), fresh)
            if text is not None and not self._advised:
                self._advised = True
                warn(f"{type(self).__name__}: {text}")

    def _prepare(self) -> None:
        under_law = isinstance(self.weights.architecture, LawSpec)
        self._law = HorizonLaw(self.weights, self.total_steps) if under_law else None
        self._averaged = self._law is not None and self._law.averages

    def _measured(self, moving: Moving) -> Moving:
        """With how far each parameter goes."""
        group, params = moving.group, moving.params
        if self._law is None:
            lr = float(group["lr"])
            kept = 1 - lr * float(group["weight_decay"])
            return moving._replace(lengths=[lr] * len(params), kept=[kept] * len(params))
        lengths = [self._law.lengths(self.state[param], group) for param in params]
        return moving._replace(
            lengths=[each.rate for each in lengths], kept=[1 - each.decay for each in lengths]
        )
