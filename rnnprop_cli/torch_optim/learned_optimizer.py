"""What RNNprop and DMOptimizer share as `torch.optim.Optimizer`.

All parameters move in one pass, each with a state of its own (`state.py`); nothing is remembered between steps but the
weights. So whatever others do to parameters and state, as to those of any optimizer of PyTorch, is what the next step
finds. Parameters without a gradient are left out and keep their state.
"""

from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Final, NamedTuple, cast, get_args, overload

import torch
from torch import Tensor, nn

from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.kernels import KernelName
from rnnprop_cli.kernels.passes import MisfitError, TensorSteps
from rnnprop_cli.torch_optim.advice import any_nonfinite, first_step_warning, warn
from rnnprop_cli.torch_optim.arguments import check_elsewhere, meant_elsewhere
from rnnprop_cli.torch_optim.capture import outside_of_graphs, refuse_capture
from rnnprop_cli.torch_optim.find import weights_for
from rnnprop_cli.torch_optim.saved_state import SKIPPED_KEY, WEIGHTS_KEY, SavedState, check_group
from rnnprop_cli.torch_optim.sharding import any_process, is_sharded, local, redistributed
from rnnprop_cli.torch_optim.state import STATE_DTYPES, Layout
from rnnprop_cli.torch_optim.stepper import Stepper

OWN_ARGUMENTS: Final = (
    "lr", "weights", "weight_decay", "maximize", "skip_nonfinite", "state_dtype", "kernel", "database"
)  # fmt: skip

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
PLAIN: Final = {Tensor, nn.Parameter}  # types of parameters that nobody has spread over processes
LAYOUT: Final = attrgetter("layout")


class _Moving(NamedTuple):
    """A param group with its parameters that have a gradient."""

    group: dict[str, Any]
    params: list[Tensor]
    grads: list[Tensor]


class CoordinatewiseOptimizer(SavedState):
    """A coordinatewise network with trained weights, as `torch.optim.Optimizer`.

    Args:
        params: parameters, or dicts that define param groups with their own `lr`, `weight_decay` and `maximize`.
        lr: alpha, which the network's output is multiplied with (equation 7 of the paper); None takes what the weights
            were trained with, 0.1 by the paper's recipe. Schedulers may change it. Any number >= 0.
        weights: name of weights that come with the package (`rnnprop weights list`), a `.safetensors` file, the name or
            id of a finished meta-training in `database` (`NAME@N`: its checkpoint after N meta-iterations, also of an
            unfinished one), or a `Weights`. None: the shipped "rnnprop" for RNNprop, "dm" for DMOptimizer.
        weight_decay: decoupled, as in AdamW: params are multiplied with 1 - lr * weight_decay before the step.
        maximize: go up instead of down.
        skip_nonfinite: leave out a step in which any gradient is NaN or infinite, and count it in the param groups'
            `skipped_steps`. Otherwise such a gradient makes its coordinate NaN for good, as in AdamW.
        state_dtype: of the LSTM's state, 80 of the 82 numbers that RNNprop keeps per coordinate; torch.bfloat16 halves
            it. None: float32 (float64 for float64 parameters).
        kernel: "auto" takes the fast body of each device; "reference" is plain PyTorch. "cpu" and "cuda" insist.
        database: where to look for meta-trainings; None: `$RNNPROP_DB`, or results/rnnprop.db if that exists.
        elsewhere: arguments of other optimizers, taken where they mean the same here: `foreach` and `fused` in any
            case, `betas` and `eps` if they are the weights' own.

    Raises:
        UsageError: there are no such weights, they are another optimizer's, or a meta-training that is not finished.
        CheckpointError: their file is damaged, or they hold NaN.
        ValueError: a setting is out of range.
        TypeError: a parameter is not a real floating-point tensor, or there is no such argument.
    """

    kind: ClassVar[str]  # of the architecture that the weights must have, and the name of the shipped ones
    accumulators: ClassVar[tuple[str, ...]]  # what the rule accumulates per coordinate

    _stepper: Stepper

    def __init__(
        self,
        params: Params,
        lr: float | Tensor | None = None,
        *,
        weights: str | Path | Weights | None = None,
        weight_decay: float = 0.0,
        maximize: bool = False,
        skip_nonfinite: bool = False,
        state_dtype: torch.dtype | None = None,
        kernel: KernelName = "auto",
        database: str | Path | None = None,
        **elsewhere: Any,
    ) -> None:
        if state_dtype is not None and state_dtype not in STATE_DTYPES:
            raise ValueError(
                f"state_dtype must be one of {', '.join(map(str, STATE_DTYPES))}, not {state_dtype}"
            )
        if kernel not in get_args(KernelName):
            raise ValueError(f"kernel must be one of {', '.join(get_args(KernelName))}, not {kernel!r}")
        self.weights = weights_for(self.kind, weights, database)
        check_elsewhere(type(self).__name__, elsewhere, OWN_ARGUMENTS, self.weights.architecture)
        self._state_dtype = state_dtype
        self._kernel_name: KernelName = kernel
        self._advised = False
        self._prepare()
        defaults = {
            "lr": self.weights.architecture.alpha if lr is None else lr,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "skip_nonfinite": skip_nonfinite,
            SKIPPED_KEY: 0,
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
        name, architecture = type(self).__name__, self.weights.architecture
        try:
            check_elsewhere(name, meant_elsewhere(group), OWN_ARGUMENTS, architecture)
            for param in group["params"]:
                if not param.is_floating_point():
                    remedy = "; split it by torch.view_as_real" if param.is_complex() else ""
                    raise TypeError(f"{name} steps real floating-point parameters, not {param.dtype}{remedy}")
            check_group(group)
        except (TypeError, ValueError):
            self.param_groups.pop()  # a refused group leaves nothing behind
            raise

    def reset(self) -> None:
        """Forgets every trajectory: the next step is the first, as on a new optimizer."""
        self.state.clear()

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
            return loss
        params = [*chain.from_iterable(each.params for each in moving)]
        states: list[Any] = [*map(self.state.get, params)]
        if not all(states):  # some take their first step
            if not self._advised:
                self._advise(moving)
            states = [*map(self.state.__getitem__, params)]
        tensors = self._tensors(moving, states)
        try:
            self._stepper.advance(tensors)
        except MisfitError:
            # Somebody has changed the state, or parameters do not lie in memory row by row.
            for param, state in zip(params, states, strict=True):
                self._layout.complete(param, state)
            tensors = self._tensors(moving, states)
            plain = tensors._replace(
                params=[each.contiguous() for each in tensors.params],
                grads=[each.contiguous() for each in tensors.grads],
            )
            self._stepper.advance(plain)
            for held, moved in zip(tensors.params, plain.params, strict=True):
                if moved is not held:
                    held.copy_(moved)
        return loss

    def _tensors(self, moving: Sequence[_Moving], states: Sequence[Any]) -> TensorSteps:
        """What the step is about, of a sharded parameter this process's part."""
        params = [*chain.from_iterable(each.params for each in moving)]
        grads = [*chain.from_iterable(each.grads for each in moving)]
        rates, decays, signs = array("d"), array("d"), array("d")
        for group, own, _ in moving:
            lr, count = float(group["lr"]), len(own)
            rates += array("d", [self._stepper.rule.signed(lr)]) * count
            decays += array("d", [1 - lr * float(group["weight_decay"])]) * count
            signs += array("d", [-1.0 if group["maximize"] else 1.0]) * count
        steps, *accumulators, h, c = self._layout.columns(params, states)
        if not {*map(type, params)} <= PLAIN and any(map(is_sharded, params)):
            grads = [local(redistributed(grad, param)) for grad, param in zip(grads, params, strict=True)]
            params, h, c = ([*map(local, column)] for column in (params, h, c))
            accumulators = [tuple(map(local, column)) for column in accumulators]
        return TensorSteps(params, grads, steps, accumulators, h, c, rates, decays, signs)

    def _moving(self, group: dict[str, Any]) -> _Moving:
        params: list[Tensor] = group["params"]
        grads = [param.grad for param in params]
        if NoneType in {*map(type, grads)}:
            params = [param for param in params if param.grad is not None]
            grads = [grad for grad in grads if grad is not None]
        moving = _Moving(group, params, cast(list[Tensor], grads))
        if {*map(LAYOUT, moving.grads)} - {torch.strided}:
            raise RuntimeError(
                f"{type(self).__name__} does not support sparse gradients: every coordinate takes every step. "
                "Use a dense embedding, or torch.optim.SparseAdam for these parameters"
            )
        return moving

    def _must_skip(self, moving: Sequence[_Moving]) -> bool:
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

    def _advise(self, moving: Sequence[_Moving]) -> None:
        """Warns, once, where the rate dwarfs the initial values of a parameter."""
        for group, params, _ in moving:
            fresh = [param for param in params if not self.state.get(param)]
            text = first_step_warning(float(group["lr"]), fresh)
            if text is not None and not self._advised:
                self._advised = True
                warn(f"{type(self).__name__}: {text}")

    def _prepare(self) -> None:
        self._stepper = Stepper(self.weights, self._kernel_name, self._features)
        self._layout = Layout(self._stepper.rule.network, self.accumulators, self._state_dtype)
