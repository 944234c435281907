"""A learned optimizer of your own: what it does with gradients is a network whose weights are meta-trained.

    # train.toml: rnnprop train --spec train.toml --allow-code
    [optimizer]
    kind = "architecture"
    source = "my_opt.py:MLPOptimizer"
    settings = { hidden = 16 }         # arguments of __init__
    alpha = 0.05

Check it with `rnnprop plugin check my_opt.py:MLPOptimizer`. Trained, it is a row of any benchmark (`kind = "learned"`,
`weights = "NAME"`) and an optimizer for PyTorch: `rnnprop_cli.LearnedOptimizer(params, weights="NAME")`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

DECAY = 0.9


class MLPOptimizer:
    """A small network says from gradient and momentum how far every coordinate goes."""

    def __init__(self, hidden: int = 16) -> None:
        self.hidden = hidden

    def named_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of what is trained. Weights start as N(0, 1 / inputs), vectors at 0."""
        return [("w1", (self.hidden, 2)), ("b1", (self.hidden,)), ("w2", (1, self.hidden))]

    def init(self, params: Tensor, shapes: object) -> tuple[Tensor, Tensor]:
        """The state before the first step: tensors of [cells, coordinates], as `params` is."""
        return torch.zeros_like(params), torch.zeros_like(params)

    def step(
        self,
        meta_params: Mapping[str, Tensor],
        state: tuple[Tensor, Tensor],
        grads: Tensor,
        params: Tensor,
        context: Any,  # t, horizon, shapes, rate_C [cells], loss_C [cells]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What is added to the params, and the next state; nothing that is given is changed."""
        m = DECAY * state[0] + (1 - DECAY) * grads
        v = DECAY * state[1] + (1 - DECAY) * grads**2
        scale = (v / (1 - DECAY**context.t)).sqrt() + 1e-8
        features = torch.stack([grads / scale, m / (1 - DECAY**context.t) / scale], dim=-1)
        hidden = torch.tanh(features @ meta_params["w1"].T + meta_params["b1"])
        direction = features[..., 1] + (hidden @ meta_params["w2"].T)[..., 0]
        return -context.rate_C[:, None] * direction, (m, v)
