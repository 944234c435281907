"""Any torch.optim.Optimizer, with the same search, schedules and pairing as our own rules.

Cells that differ in nothing but the learning rate and the seed are one tensor of one param group where the optimizer
treats coordinates alone; one that mixes them (clipping by norm, orthogonal steps, a learning rate of its own) sees each
cell's tensors in their shapes, in an instance of its own. Which of both is found out by trying.

Shape legend: C cells, P coordinates, G cells of one learning rate.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import log2, prod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple

from rnnprop_cli.components.optimizers.base import BaselineSpec, Given
from rnnprop_cli.components.optimizers.schedules import build_schedule
from rnnprop_cli.components.plugins import Code, CodeSource, Settings, shown, told
from rnnprop_cli.errors import CodeError
from rnnprop_cli.fields import PositiveFloat
from rnnprop_cli.lazy import no_grad, torch

if TYPE_CHECKING:
    from torch import Tensor

TRIAL_SHAPES: Final = ((6, 4), (4,), (4, 3))
TRIAL_STEPS: Final = 12
AGREEMENT: Final = 1e-4


class TorchSpec(BaselineSpec):
    """A torch.optim.Optimizer by the name of its class."""

    kind: Literal["torch"] = "torch"
    source: CodeSource  # "torch.optim:RAdam", "package.module:Name" or "my_opt.py:Mine"
    settings: Settings = ()  # keyword arguments of the class; a list is an axis
    centre: PositiveFloat = 0.02  # where the search for a learning rate starts
    # whether it treats every coordinate alone, so that cells can share an instance; absent: found out
    coordinatewise: bool | None = None

    default_lr: ClassVar[float] = float("nan")

    @property
    def name(self) -> str:
        """See `OptimizerSpec`: that of the class, with its settings and schedule."""
        scheduled = "" if self.schedule == "constant" else f" {self.schedule}"
        return self.label or self.source.name.lower() + shown(self.settings) + scheduled

    @property
    def code(self) -> Code:
        """See `OptimizerSpec`."""
        return self.source

    @property
    def start_k(self) -> int:
        """See `OptimizerSpec`: the point nearest to `centre`."""
        return round(-2 * log2(self.centre))

    @property
    def default_rate(self) -> float | None:
        """See `OptimizerSpec`: what its signature says."""
        default = _rate_parameter(self.source)
        return default if isinstance(default, float) and default > 0 else None

    def rehearse(self) -> str | None:
        """See `OptimizerSpec`."""
        together = _is_coordinatewise(self)
        return None if together else f"{self.name}: an instance for each cell, since it mixes coordinates"

    def build(self, given: Given) -> TorchOptimizer:
        """See `BaselineSpec`.

        Raises:
            CodeError: it is no torch.optim.Optimizer, or something in it fails.
        """
        schedule = build_schedule(self.schedule, given.horizon, self.warmup, self.cooldown)
        return TorchOptimizer(self, given.lr_C, given.shapes, schedule, _is_coordinatewise(self))


class _Instance(NamedTuple):
    """An optimizer of torch with what it works on."""

    optimizer: Any
    params: list[Tensor]
    cells: list[int]  # whose params these are, side by side
    rate: float


class TorchState(NamedTuple):
    """State of the optimizers, which keep it themselves."""

    steps: int  # done
    instances: list[_Instance]


class TorchOptimizer:
    """An optimizer of torch for a batch of cells.

    Args:
        spec: class and settings.
        lr_C: [C] learning rates.
        shapes: of the tensors that the params of a cell are made of.
        factor: schedule, from the steps done to a factor of the learning rate.
        together: whether the cells of one learning rate share an instance.
    """

    def __init__(
        self,
        spec: TorchSpec,
        lr_C: Tensor,
        shapes: Sequence[tuple[int, ...]],
        factor: Callable[[int], float],
        together: bool,
    ) -> None:
        self.spec, self.factor, self.together = spec, factor, together
        self.rates = lr_C.tolist()
        self.shapes = tuple(shapes)
        self.scheduled = spec.schedule != "constant"

    def init(self, params_CP: Tensor) -> TorchState:
        """See `Optimizer`."""
        shapes = self.shapes or ((params_CP.shape[1],),)
        instances = []
        for cells in self._groups():
            if self.together:
                params = [params_CP[cells].detach().clone().requires_grad_()]
            else:
                sizes = [prod(shape) for shape in shapes]
                parts = torch.split(params_CP[cells[0]].detach().clone(), sizes)
                params = [
                    part.view(shape).requires_grad_() for part, shape in zip(parts, shapes, strict=True)
                ]
            rate = self.rates[cells[0]]
            instances.append(_Instance(_made(self.spec, params, rate), params, cells, rate))
        return TorchState(0, instances)

    @no_grad
    def advance(self, grads_CP: Tensor, state: TorchState, params_CP: Tensor) -> TorchState:
        """See `Optimizer`."""
        factor = self.factor(state.steps)
        for optimizer, params, cells, rate in state.instances:
            self._give(params, grads_CP, cells)
            if self.scheduled:
                for group in optimizer.param_groups:
                    group["lr"] = rate * factor
            with told(self.spec.source), torch.enable_grad():
                optimizer.step()
            self._take(params, params_CP, cells)
        return TorchState(state.steps + 1, state.instances)

    def update(
        self, grads_CP: Tensor, state: TorchState, params_CP: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, TorchState]:
        """See `Optimizer`."""
        if not donate:
            state = copy.deepcopy(state)
        moved_CP = params_CP.clone()
        state = self.advance(grads_CP, state, moved_CP)
        return moved_CP - params_CP, state

    @no_grad
    def evaluated(self, params_CP: Tensor, state: TorchState) -> Tensor:
        """See `Optimizer`: what it holds in eval mode, where it has one (schedule-free)."""
        if not any(hasattr(each.optimizer, "eval") for each in state.instances):
            return params_CP
        found_CP = params_CP.clone()
        for optimizer, params, cells, _ in state.instances:
            with told(self.spec.source):
                optimizer.eval()
                self._take(params, found_CP, cells)
                optimizer.train()
        return found_CP

    def _groups(self) -> Iterable[list[int]]:
        if not self.together:
            return [[cell] for cell in range(len(self.rates))]
        of_rate: dict[float, list[int]] = {}
        for cell, rate in enumerate(self.rates):
            of_rate.setdefault(rate, []).append(cell)
        return of_rate.values()

    def _give(self, params: list[Tensor], grads_CP: Tensor, cells: list[int]) -> None:
        if self.together:
            params[0].grad = grads_CP[cells]
            return
        sizes = [param.numel() for param in params]
        for param, grad in zip(params, torch.split(grads_CP[cells[0]], sizes), strict=True):
            param.grad = grad.view_as(param).clone()

    def _take(self, params: list[Tensor], params_CP: Tensor, cells: list[int]) -> None:
        if self.together:
            params_CP[cells] = params[0].detach()
        else:
            params_CP[cells[0]] = torch.cat([param.detach().reshape(-1) for param in params])


def _made(spec: TorchSpec, params: list[Tensor], rate: float) -> Any:
    """The optimizer, in training mode."""
    cls = spec.source.load()
    if isinstance(cls, type) and not issubclass(cls, torch.optim.Optimizer):
        raise CodeError(f"{spec.source.source}: is not a torch.optim.Optimizer")
    arguments = dict(spec.settings)
    if _rate_parameter(spec.source) is not inspect.Parameter.empty:
        arguments["lr"] = rate
    elif spec.lr != "default" or spec.schedule != "constant":
        raise CodeError(f'{spec.source.source}: has no argument lr: set lr = "default", and no schedule')
    with told(spec.source):
        optimizer = cls(params, **arguments)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise CodeError(
            f"{spec.source.source}: gives a {type(optimizer).__name__}, which is not a torch.optim.Optimizer"
        )
    if hasattr(optimizer, "train"):
        optimizer.train()
    return optimizer


def _rate_parameter(code: Code) -> Any:
    """Default of its argument `lr`; `inspect.Parameter.empty` where it has no such argument."""
    cls = code.load()
    with told(code):
        parameters = inspect.signature(cls).parameters
    if "lr" not in parameters:
        return inspect.Parameter.empty
    default = parameters["lr"].default
    return None if default is inspect.Parameter.empty else default


@lru_cache(maxsize=256)
def _is_coordinatewise(spec: TorchSpec) -> bool:
    """Whether cells that share a tensor go where they go alone, in shapes of their own.

    Raises:
        CodeError: it does not work at all.
    """
    generator = torch.Generator().manual_seed(0)
    n = sum(prod(shape) for shape in TRIAL_SHAPES)
    start_CP = torch.randn(3, n, generator=generator)
    scales = torch.tensor([[1e-2], [1.0], [30.0]])
    grads_TCP = torch.randn(TRIAL_STEPS, 3, n, generator=generator) * scales
    rate = spec.lr if isinstance(spec.lr, float) else (spec.default_rate or 1e-3)
    found = []
    for together in (False, True) if spec.coordinatewise is None else (spec.coordinatewise,):
        rule = TorchOptimizer(spec, torch.full((3,), rate), TRIAL_SHAPES, lambda count: 1.0, together)
        params_CP = start_CP.clone()
        try:
            state = rule.init(params_CP)
            for grads_CP in grads_TCP:
                state = rule.advance(grads_CP.clone(), state, params_CP)
            found.append(rule.evaluated(params_CP, state) - start_CP)
        except CodeError as error:
            if together and spec.coordinatewise is None:
                return False  # it needs its tensors' shapes
            if "closure" in str(error):
                raise CodeError(
                    f"{spec.source.source}: needs a closure, which a benchmark cannot give"
                ) from error
            raise
    if not all(bool(each.isfinite().all()) for each in found):
        raise CodeError(
            f"{spec.source.source}: {TRIAL_STEPS} steps on noise end in numbers that are not finite"
        )
    if spec.coordinatewise is not None:
        return spec.coordinatewise
    alone, together_CP = found
    return bool(((alone - together_CP).abs() <= AGREEMENT * alone.abs().amax(1, keepdim=True)).all())
