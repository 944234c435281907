"""An optimizer of your own: any torch.optim.Optimizer.

    [[optimizers]]
    kind = "torch"
    source = "my_opt.py:SignMomentum"
    settings = { momentum = [0.9, 0.95] }    # arguments of __init__; a list is an axis
    lr = "tuned"                             # searched as for every other optimizer
    centre = 0.001                           # where the search starts

Check it with `rnnprop plugin check my_opt.py:SignMomentum`.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class SignMomentum(torch.optim.Optimizer):
    """theta <- theta - lr sign(m), m <- momentum m + (1 - momentum) g."""

    def __init__(self, params: Iterable[Tensor], lr: float = 0.001, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step. It is given no closure; gradients are in `param.grad`."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["m"] = torch.zeros_like(param)
                state["m"].lerp_(param.grad, 1 - group["momentum"])
                param.sub_(state["m"].sign(), alpha=group["lr"])
