"""What every optimizee and optimizer must do, as checks that say what does not hold.

The tests hold the built-in components to them, `rnnprop plugin check` those of a user.

Shape legend: S seeds, C cells, P coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from rnnprop_cli.components.datasets.base import Dataset
from rnnprop_cli.components.datasets.packaged import Packaged
from rnnprop_cli.components.optimizees.base import Given, Optimizee, OptimizeeSpec
from rnnprop_cli.components.optimizers.base import BaselineSpec
from rnnprop_cli.components.optimizers.base import Given as OptimizerGiven
from rnnprop_cli.components.plugins import Code
from rnnprop_cli.errors import RnnpropError
from rnnprop_cli.lazy import torch

SEEDS: Final = (1, 2)
PER_SEED: Final = 3
EXAMPLES: Final = 6
SPREAD: Final = 0.05  # of the cells of a seed around its theta_0
CLOSE: Final = 1e-9  # relative to the largest number, float64
DIFFERENCE: Final = 1e-8  # step of a difference quotient: few kinks of a ReLU lie between
SLOPES_AGREE: Final = 1e-4
STEPS: Final = 20


class Check(NamedTuple):
    """One thing that must hold."""

    name: str
    wrong: str | None  # None: it holds


def check_optimizee(spec: OptimizeeSpec, dataset: Dataset | None) -> Iterator[Check]:
    """Whether an optimizee is what a benchmark takes it for, in float64 on the CPU.

    Args:
        spec: its settings.
        dataset: the one that they name.
    """

    def build(*seeds: int) -> Optimizee:
        given = Given(dataset, seeds, EXAMPLES, torch.float64, torch.device("cpu"), "replacement")
        return spec.build(given)

    checks: dict[str, Callable[[], str | None]] = {
        "it can be made, with theta_0 of the planned size": lambda: _size(spec, build(*SEEDS)),
        "everything random is a function of the seed": lambda: _random(build),
        "another step is another minibatch, or none is drawn": lambda: _steps(build(*SEEDS)),
        "the gradient is the slope of the loss": lambda: _slope(build(*SEEDS)),
        "a batch of cells equals its cells one by one": lambda: _batch(build),
        "a diverged cell changes no bit of its neighbours": lambda: _diverged(build(*SEEDS)),
        "the final loss is the mean of the steps' losses": lambda: _mean(build(*SEEDS)),
        "held-out losses are finite": lambda: _heldout(build(*SEEDS)),
    }
    yield from _run(checks)


def check_dataset(code: Code) -> Iterator[Check]:
    """Whether a function gives a dataset, always the same one. Code must be allowed."""
    source = Packaged(code.name, code)
    checks: dict[str, Callable[[], str | None]] = {
        "its arrays fit together, or it is a text": lambda: (source.load(None), None)[1],
        "it is the same every time": lambda: _twice(source),
    }
    yield from _run(checks)


def _twice(source: Packaged) -> str | None:
    first, second = source.load(None), source.load(None)
    return (
        None if first.sha256 == second.sha256 else "two calls gave other numbers: seed what is random in it"
    )


def check_optimizer(spec: BaselineSpec) -> Iterator[Check]:
    """Whether an optimizer is what a benchmark takes it for, in float64 on the CPU."""
    checks: dict[str, Callable[[], str | None]] = {
        "it can be made, and its steps are finite": lambda: _finite_steps(spec),
        "it goes down in a bowl, at some learning rate": lambda: _descends(spec),
        "the same gradients give the same steps": lambda: _same_steps(spec),
        "cells do not touch each other": lambda: _cells_alone(spec),
    }
    yield from _run(checks)


def _run(checks: dict[str, Callable[[], str | None]]) -> Iterator[Check]:
    for name, check in checks.items():
        try:
            yield Check(name, check())
        except (RnnpropError, RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            yield Check(name, str(error) or type(error).__name__)


def _cells(optimizee: Optimizee) -> torch.Tensor:
    """theta_0 of every seed a few times, each moved a little."""
    params_CP = optimizee.init_params().repeat_interleave(PER_SEED, dim=0)
    generator = torch.Generator().manual_seed(9)
    return params_CP + SPREAD * torch.randn(params_CP.shape, generator=generator, dtype=params_CP.dtype)


def _far(truth: torch.Tensor, found: torch.Tensor, tolerance: float = CLOSE) -> str | None:
    distance = float((truth - found).abs().max())
    limit = tolerance * max(1e-30, float(truth.abs().max()))
    return None if distance <= limit else f"they differ by {distance:.2g}"


def _size(spec: OptimizeeSpec, optimizee: Optimizee) -> str | None:
    found = tuple(optimizee.init_params().shape)
    planned = (len(SEEDS), spec.n_coordinates)
    return None if found == planned else f"theta_0 is {found}, planned {planned}"


def _random(build: Callable[..., Optimizee]) -> str | None:
    one, again = build(SEEDS[0]), build(SEEDS[0])
    params_CP = one.init_params()
    if not torch.equal(params_CP, again.init_params()):
        return "theta_0 of a seed is another one the second time: draw it from PyTorch's default generator"
    if not torch.equal(one.loss(params_CP, 3), again.loss(params_CP, 3)):
        return "the loss of a seed and step is another one the second time: draw from the generator that is given"
    return None


def _steps(optimizee: Optimizee) -> str | None:
    params_CP = optimizee.init_params()
    there, back = optimizee.loss(params_CP, 5), optimizee.loss(params_CP, 6)
    again = optimizee.loss(params_CP, 5)
    del back
    return None if torch.equal(there, again) else "the loss of a step depends on the steps before it"


def _slope(optimizee: Optimizee) -> str | None:
    params_CP = _cells(optimizee)
    generator = torch.Generator().manual_seed(4)
    direction_CP = torch.randn(params_CP.shape, generator=generator, dtype=params_CP.dtype)
    loss_C, grads_CP = optimizee.loss_and_grad(params_CP, 2)
    if not bool(loss_C.isfinite().all() and grads_CP.isfinite().all()):
        return "loss or gradient are not finite near theta_0"
    ahead, behind = (optimizee.loss(params_CP + sign * DIFFERENCE * direction_CP, 2) for sign in (1, -1))
    slope_C = (ahead - behind) / (2 * DIFFERENCE)
    return _far(slope_C.detach(), (grads_CP * direction_CP).sum(1), SLOPES_AGREE)


def _batch(build: Callable[..., Optimizee]) -> str | None:
    together = build(*SEEDS)
    params_CP = _cells(together)
    loss_C, grads_CP = together.loss_and_grad(params_CP, 0)
    for cell, params_P in enumerate(params_CP):
        loss_1, grads_1P = build(SEEDS[cell // PER_SEED]).loss_and_grad(params_P[None], 0)
        wrong = _far(loss_1, loss_C[cell : cell + 1]) or _far(grads_1P, grads_CP[cell : cell + 1])
        if wrong is not None:
            return wrong
    return None


def _diverged(optimizee: Optimizee) -> str | None:
    params_CP = _cells(optimizee)
    loss_C, grads_CP = optimizee.loss_and_grad(params_CP, 0)
    params_CP[1] = float("nan")
    sick_C, sick_CP = optimizee.loss_and_grad(params_CP, 0)
    for cell in (0, 2, *range(PER_SEED, len(params_CP))):
        if not torch.equal(loss_C[cell], sick_C[cell]) or not torch.equal(grads_CP[cell], sick_CP[cell]):
            return f"cell {cell} changes when cell 1 is NaN"
    return "a cell of NaN has a finite loss" if bool(sick_C[1].isfinite()) else None


def _mean(optimizee: Optimizee) -> str | None:
    params_CP = _cells(optimizee)
    with torch.no_grad():
        steps = torch.stack([optimizee.loss(params_CP, step).double() for step in range(4)])
    return _far(steps.mean(0), optimizee.mean_loss(params_CP, 4))


def _heldout(optimizee: Optimizee) -> str | None:
    found = optimizee.heldout(_cells(optimizee))
    if found is None:
        return None
    if not bool(found.loss_C.isfinite().all()):
        return "they are not"
    accuracy_C = found.accuracy_C
    if accuracy_C is not None and not bool(((accuracy_C >= 0) & (accuracy_C <= 1)).all()):
        return "an accuracy lies outside of 0 to 1"
    return None


_SHAPES: Final = ((6, 4), (4,), (4, 3))
_N: Final = 40


def _walk(spec: BaselineSpec, rate: float, cells: int = 2, seed: int = 0) -> torch.Tensor:
    """[T, C, P] params of a walk down a bowl, which starts at distance one."""
    generator = torch.Generator().manual_seed(seed)
    params_CP = torch.randn(2, _N, generator=generator, dtype=torch.float64)[:cells].clone()
    given = OptimizerGiven(torch.full((cells,), rate, dtype=torch.float64), STEPS, _SHAPES)
    optimizer = spec.build(given)
    state = optimizer.init(params_CP)
    walked = [optimizer.evaluated(params_CP, state).clone()]
    for _ in range(STEPS):
        state = optimizer.advance(2 * params_CP / _N, state, params_CP)
        walked.append(optimizer.evaluated(params_CP, state).clone())
    return torch.stack(walked)


def _rates(spec: BaselineSpec) -> list[float]:
    given = [spec.lr] if isinstance(spec.lr, float) else []
    default = [spec.default_rate] if spec.default_rate else []
    return [*given, *default, 1e-3, 1e-2, 0.1, 1.0, 10.0]


def _finite_steps(spec: BaselineSpec) -> str | None:
    return None if bool(_walk(spec, _rates(spec)[0]).isfinite().all()) else "they are not"


def _descends(spec: BaselineSpec) -> str | None:
    for rate in _rates(spec):
        walked = _walk(spec, rate)
        if bool((walked[-1].square().mean(1) < 0.9 * walked[0].square().mean(1)).all()):
            return None
    return (
        f"after {STEPS} steps it is no lower than at the start, at none of {len(_rates(spec))} learning rates"
    )


def _same_steps(spec: BaselineSpec) -> str | None:
    first, again = (_walk(spec, _rates(spec)[0]) for _ in "12")
    return None if torch.equal(first, again) else "they do not: it draws random numbers of its own"


def _cells_alone(spec: BaselineSpec) -> str | None:
    both, alone = _walk(spec, _rates(spec)[0]), _walk(spec, _rates(spec)[0], cells=1)
    return _far(alone[:, 0], both[:, 0], SLOPES_AGREE)
