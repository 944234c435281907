"""A small problem for the trainers of others, and both optimizers that they are given."""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from drop_in_samples import RNN
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.utils.data import TensorDataset

from rnnprop_cli import RNNprop

MINIBATCH = 4
MINIBATCHES = 6  # of an epoch
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]


def rnnprop_of(params: Iterable[nn.Parameter]) -> Optimizer:
    return RNNprop(params, lr=0.02, weights=RNN, kernel="reference")


def adam_of(params: Iterable[nn.Parameter]) -> Optimizer:
    return Adam(params, lr=0.02)


# What is asserted of RNNprop is asserted of Adam too: a client that fails both is not our failure.
beside_adam: Any = pytest.mark.parametrize("make", [rnnprop_of, adam_of])


def marks_for(client: str, *others: str) -> list[Any]:
    """Marks of a module of tests. A client is imported inside of a test: that takes many seconds."""
    absent = [name for name in (client, *others) if find_spec(name) is None]
    return [
        pytest.mark.slow,
        pytest.mark.filterwarnings("ignore"),  # the client's
        pytest.mark.skipif(bool(absent), reason=f"needs {', '.join(absent)}: pip install -e '.[clients]'"),
    ]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(MINIBATCH * MINIBATCHES, 3, generator=generator)
    return TensorDataset(inputs, inputs.square().sum(1, keepdim=True) / 3)


def loss_of(model: nn.Module) -> float:
    inputs, targets = data().tensors
    with torch.no_grad():
        return float((model(inputs) - targets).square().mean())


def copies(params: Iterable[Tensor]) -> list[Tensor]:
    return [param.detach().clone() for param in params]


def train_by_hand(
    make: MakeOptimizer,
    epochs: int,
    *,
    accumulate: int = 1,
    clip: float | None = None,
    gamma: float | None = None,
) -> nn.Module:
    """What a client does for us, written out: mean of `accumulate` minibatches, clipping, a rate for each epoch."""
    model = net()
    optimizer = make(model.parameters())
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma) if gamma is not None else None
    inputs, targets = data().tensors
    for _ in range(epochs):
        for index, (x, y) in enumerate(zip(inputs.split(MINIBATCH), targets.split(MINIBATCH), strict=True)):
            ((model(x) - y).square().mean() / accumulate).backward()
            if (index + 1) % accumulate:
                continue
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad()
        if scheduler is not None:
            scheduler.step()
    return model
