"""A learned optimizer of one's own: a small MLP looks at every coordinate and says how far it goes.

Meta-train, measure and use it:

    rnnprop train --spec examples/train_mlp_optimizer.toml --allow-code
    rnnprop bench --spec examples/bench_mlp_optimizer.toml --allow-code

    from rnnprop_cli import LearnedOptimizer
    optimizer = LearnedOptimizer(model.parameters(), weights="mlp-optimizer", total_steps=1000, allow_code=True)
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

DECAYS = (0.5, 0.9, 0.99)  # of the moving averages of the gradient
DECAY_OF_SQUARES = 0.95


class Averages(NamedTuple):
    first: Tensor  # [3, cells, coordinates]
    second: Tensor  # [cells, coordinates]


class MLPOptimizer:
    """Adam's step, times a factor and plus an offset that the network gives; at the start it is Adam with cosine."""

    def __init__(self, hidden: int = 16) -> None:
        self.hidden = hidden

    def named_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        inputs = len(DECAYS) + 3
        return [("w1", (self.hidden, inputs)), ("b1", (self.hidden,)), ("w2", (2, self.hidden)), ("b2", (2,))]

    def init_meta_params(self, generator: torch.Generator) -> dict[str, Tensor]:
        values = {name: torch.zeros(shape) for name, shape in self.named_shapes()}
        values["w1"].normal_(std=values["w1"].shape[1] ** -0.5, generator=generator)
        return values

    def init(self, params: Tensor, shapes: object) -> Averages:
        return Averages(params.new_zeros(len(DECAYS), *params.shape), torch.zeros_like(params))

    def step(self, meta_params, state, grads, params, context):
        decays = grads.new_tensor(DECAYS).view(-1, 1, 1)
        first = decays * state.first + (1 - decays) * grads
        second = DECAY_OF_SQUARES * state.second + (1 - DECAY_OF_SQUARES) * grads**2
        scale = (second / (1 - DECAY_OF_SQUARES**context.t)).sqrt() + 1e-8
        moments = first / (1 - decays**context.t) / scale
        done = context.t / (context.horizon or 1000)
        times = grads.new_tensor([2 * done - 1, math.log(context.horizon or 1000) - 5]).view(2, 1, 1)
        inputs = [moments, (grads / scale)[None], times.expand(2, *grads.shape)]
        features = torch.cat(inputs).movedim(0, -1)  # [cells, coordinates, 6]
        hidden = torch.tanh(features @ meta_params["w1"].T + meta_params["b1"])
        factor, offset = (hidden @ meta_params["w2"].T + meta_params["b2"]).unbind(-1)
        rate = context.rate_C[:, None] * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        return -rate * (torch.exp(factor) * moments[1] + offset), Averages(first, second)
