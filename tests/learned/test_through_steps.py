"""Autograd through the steps is autograd through everything, for whatever learned optimizer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnprop_cli.components.learned.base import Architecture, Context
from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.learned.outside import OutsideSpec
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees.quadratic import Quadratic
from rnnprop_cli.components.optimizees.transforms import Combined, RandomScaling
from rnnprop_cli.components.plugins import FOLDER
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.meta.meta_gradient import estimator_for, known_output_gradient, through_steps
from rnnprop_cli.meta.meta_loss import meta_loss
from rnnprop_cli.meta.truncation import Span
from rnnprop_cli.meta.unroll import InnerProblem, Trajectory
from rnnprop_cli.numerics.trees import with_tensors

F64, CPU = torch.float64, torch.device("cpu")
SEEDS = (1, 2)
WINDOWS = (Span(0, 6), Span(6, 6))
EXAMPLES = Path(__file__).parents[2] / "examples"


def example() -> OutsideSpec:
    given = {"kind": "architecture", "source": "mlp_optimizer.py:MLPOptimizer", "settings": {"hidden": 4}}
    return OutsideSpec.model_validate(given, context={FOLDER: EXAMPLES})


def optimizee() -> Combined:
    f = RandomScaling(Quadratic(6, SEEDS, F64, CPU), 1.0, SEEDS, "f")
    return Combined(f, Quadratic(3, (11, 12), F64, CPU))


def moved(architecture: Architecture) -> torch.Tensor:
    """Meta-params away from the start, where some of them have no gradient."""
    start = architecture.start(3, F64, CPU)
    return start + 0.1 * torch.randn(start.shape, generator=torch.Generator().manual_seed(5), dtype=F64)


def through_everything(
    problem: InnerProblem, meta_params_Q: torch.Tensor, start: Trajectory, span: Span
) -> Any:
    """The obvious way: the graph holds the losses too."""
    function, architecture, _, kind, alpha, horizon = problem
    leaf = meta_params_Q.clone().requires_grad_()
    params_CP, state = start
    losses = []
    for t in range(span.first, span.first + span.length):
        losses.append(function.loss(params_CP, t))
        loss_C, grads_CP = function.loss_and_grad(params_CP.detach(), t)
        rate_C = torch.full((len(SEEDS),), alpha, dtype=F64)
        context = Context(t + 1, horizon, function.shapes, rate_C, loss_C)
        updates_CP, state = architecture.step(architecture.named(leaf), state, grads_CP, params_CP, context)
        params_CP = params_CP + updates_CP
    (grad_Q,) = torch.autograd.grad(meta_loss(kind, torch.stack(losses)), leaf)
    end = with_tensors(Trajectory(params_CP, state), lambda tensor: tensor.detach())
    return grad_Q, losses[-1].detach().mean(), end


@pytest.mark.parametrize("kind", ["last", "mean"])
@pytest.mark.parametrize("name", ["rnnprop", "dm", "example", "mixing"])
def test_it_is_the_gradient_of_the_meta_loss(
    name: str, kind: Any, outside: Callable[..., OutsideSpec]
) -> None:
    spec = {
        "rnnprop": lambda: RNNpropSpec(embedding=4, hidden=3),
        "dm": lambda: DMSpec(hidden=3),
        "example": example,
        "mixing": lambda: outside(MIXING, "Mixing"),
    }[name]()
    architecture = spec.build()
    function = optimizee()
    problem = InnerProblem(function, architecture, ReferenceKernel(), kind, 0.1, 12)
    meta_params_Q = moved(architecture)
    params_CP = function.init_params()
    found = plain = Trajectory(params_CP, architecture.init(params_CP, function.shapes))
    for span in WINDOWS:
        grad_Q, end_loss, plain = through_everything(problem, meta_params_Q, plain, span)
        result = through_steps(problem, meta_params_Q, found, span)
        found = result.trajectory
        assert grad_Q.abs().max() > 1e-6
        torch.testing.assert_close(result.meta_grad_Q, grad_Q, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(result.end_loss, end_loss)
        torch.testing.assert_close(found.params_CP, plain.params_CP)


MIXING = """\
import torch


class Mixing:
    def named_shapes(self):
        return {"w": (2,)}

    def init_meta_params(self, generator):
        return {"w": torch.full((2,), 0.5)}

    def init(self, params, shapes):
        return (torch.ones(len(params), 1, dtype=params.dtype),)

    def step(self, meta_params, state, grads, params, context):
        (scale,) = state
        scale = scale * torch.sigmoid(meta_params["w"][0] * context.loss_C[:, None])
        sizes = [tensor.square().mean(1, True) for tensor in torch.split(grads, [6, 3], 1)]
        direction = grads / (sum(sizes) + 1).sqrt() + meta_params["w"][1] * params
        return -context.rate_C[:, None] * scale * direction, (scale,)
"""


@pytest.mark.parametrize("kind", ["last", "mean"])
def test_for_a_network_it_is_what_the_fast_estimator_gives(kind: Any) -> None:
    architecture = RNNpropSpec(embedding=4, hidden=3).build()
    function = optimizee()
    problem = InnerProblem(function, architecture, ReferenceKernel(), kind, 0.1, 12)
    results = []
    for estimator in (known_output_gradient, through_steps):
        params_CP = function.init_params()
        trajectory = Trajectory(params_CP, architecture.init(params_CP, function.shapes))
        for span in WINDOWS:
            result = estimator(problem, moved(architecture), trajectory, span)
            trajectory = result.trajectory
        results.append(result)
    torch.testing.assert_close(results[0].meta_grad_Q, results[1].meta_grad_Q, rtol=1e-9, atol=1e-12)
    assert estimator_for(architecture) is known_output_gradient
    assert estimator_for(example().build()) is through_steps
