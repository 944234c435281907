"""Optimizers under horizon laws with made-up weights, and runs of them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnnprop_cli import Mixture, RNNprop
from rnnprop_cli.components.law import NUMBERS
from rnnprop_cli.components.learned.base import ArchitectureSpec
from rnnprop_cli.components.learned.law import AveragingSpec, LawSpec, ShapeSpec
from rnnprop_cli.components.learned.mixture import MixtureSpec
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.execute.weights import Weights

LAW = {
    "log_rate": -3.0,
    "log_rate_slope": -0.3,
    "warmup": -1.0,
    "share": 0.5,
    "log_decay": -4.0,
    "decay_slope": -0.3,
}
SHAPES = ((4, 3), (4,), (2, 4), (2,))
STEPS = 12


def weights(base: ArchitectureSpec, seed: int = 0, averaged: bool = False) -> Weights:
    spec = LawSpec(base=base)
    if averaged:
        averaging = AveragingSpec(place=1.0, recency=0.5, landing=-0.5)
        spec = LawSpec(base=base, shape=ShapeSpec(inputs=0.3, matrices=0.2), averaging=averaging)
    rule = spec.build()
    generator = torch.Generator().manual_seed(seed)
    flat_Q = rule.start(seed, torch.float32, torch.device("cpu"))
    flat_Q = flat_Q + 0.2 * torch.randn(len(flat_Q), generator=generator)
    named = {name: value.numpy() for name, value in rule.named(flat_Q).items()}
    named["law"] = np.array([LAW.get(name, 0.0) for name in NUMBERS], dtype=np.float32)
    return Weights(spec, named, f"sha-{seed}", "here")


OURS = [
    (RNNprop, weights(RNNpropSpec(embedding=3, hidden=4))),
    (Mixture, weights(MixtureSpec(hidden=3))),
    (Mixture, weights(MixtureSpec(hidden=0))),
    (RNNprop, weights(RNNpropSpec(embedding=3, hidden=4), averaged=True)),
    (Mixture, weights(MixtureSpec(hidden=3), averaged=True)),
]
each_of_ours = pytest.mark.parametrize(
    ("make", "own"),
    OURS,
    ids=["rnnprop", "mixture", "without a network", "rnnprop averaged", "mixture averaged"],
)


def model(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    nn.init.zeros_(made[0].bias)
    return made


def gradients(net: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for param in net.parameters():
        param.grad = torch.randn(param.shape, generator=generator).to(param.dtype) + param.detach()


def walk(net: nn.Module, optimizer: Any, steps: int, first: int = 0) -> Tensor:
    for step in range(first, first + steps):
        gradients(net, step)
        optimizer.step()
    return torch.cat([param.detach().reshape(-1) for param in net.parameters()])
