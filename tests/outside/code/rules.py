"""Optimizers as a user writes them."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Plain(torch.optim.Optimizer):
    """theta <- theta - lr g."""

    def __init__(self, params: Iterable[Tensor], lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for param in group["params"]:
                param.sub_(param.grad, alpha=group["lr"])


class Clipped(Plain):
    """By the norm of all gradients of its params."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        params = [param for group in self.param_groups for param in group["params"]]
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        super().step()


class Unrated(torch.optim.Optimizer):
    """Has no learning rate."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for param in group["params"]:
                param.mul_(0.9)


class NoOptimizer:
    def __init__(self, params: Iterable[Tensor], lr: float = 0.1) -> None:
        pass
