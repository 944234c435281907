"""A learned optimizer as users write them."""

SMALL = """\
import torch


class Small:
    def __init__(self, hidden=3):
        self.hidden = hidden

    def named_shapes(self):
        return [("w", (self.hidden, 2)), ("b", (self.hidden,)), ("out", (1, self.hidden))]

    def init(self, params, shapes):
        return {"m": torch.zeros_like(params), "seen": [0]}

    def step(self, meta_params, state, grads, params, context):
        m = 0.9 * state["m"] + 0.1 * grads
        features = torch.stack([m, torch.tanh(params)], -1)
        hidden = torch.tanh(features @ meta_params["w"].T + meta_params["b"])
        factor = 1 - (context.t - 1) / (context.horizon or 1000)
        move = (hidden @ meta_params["out"].T)[..., 0] - m
        return context.rate_C[:, None] * factor * move, {"m": m, "seen": [state["seen"][0] + 1]}
"""
