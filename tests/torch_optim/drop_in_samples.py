"""Small learned optimizers and parameters for the tests of the drop-in."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnprop_cli import DMOptimizer, RNNprop
from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.torch_optim.learned_optimizer import CoordinatewiseOptimizer

CPU = torch.device("cpu")


def make_weights(architecture: RNNpropSpec | DMSpec, seed: int = 0) -> Weights:
    rule = architecture.build()
    named = rule.named(rule.start(seed, torch.float32, CPU))
    return Weights(
        architecture, {name: value.numpy() for name, value in named.items()}, f"{seed:064x}", "a test"
    )


RNN = make_weights(RNNpropSpec(embedding=4, hidden=4))
DM = make_weights(DMSpec(hidden=4))
Make = Callable[..., CoordinatewiseOptimizer]


def rnnprop(params: Any, *args: Any, **options: Any) -> RNNprop:
    return RNNprop(params, *args, **{"weights": RNN, "kernel": "reference"} | options)


def dm(params: Any, *args: Any, **options: Any) -> DMOptimizer:
    return DMOptimizer(params, *args, **{"weights": DM, "kernel": "reference"} | options)


both = pytest.mark.parametrize("make", [rnnprop, dm])


def params_of(
    *shapes: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0
) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))
        for shape in shapes
    ]


def set_grads(params: list[nn.Parameter], step: int) -> None:
    """Gradients that depend on nothing but the step and the place of the parameter."""
    for index, param in enumerate(params):
        generator = torch.Generator().manual_seed(1000 * step + index)
        grad = torch.randn(param.shape, generator=generator, dtype=torch.float64) * 10.0 ** (-index % 4)
        param.grad = grad.to(param.dtype)


def run(optimizer: CoordinatewiseOptimizer, params: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        set_grads(params, step)
        optimizer.step()


def values(params: list[nn.Parameter]) -> Tensor:
    return torch.cat([param.detach().double().reshape(-1) for param in params])


SHAPES = ((3, 4), (4,), (2, 1, 3), (), (1,))
