"""Learned optimizers from outside, written to files; code is allowed in these tests unless one says otherwise."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rnnprop_cli.components import plugins
from rnnprop_cli.components.learned.outside import OutsideSpec

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


@pytest.fixture(autouse=True)
def _code_is_allowed() -> Iterator[None]:
    plugins.allow_code()
    yield
    plugins.allow_code(False)


@pytest.fixture
def outside(tmp_path: Path) -> Callable[..., OutsideSpec]:
    """A spec of a class in a file beside it, from the file's text."""

    def made(text: str = SMALL, name: str = "Small", **settings: object) -> OutsideSpec:
        (tmp_path / "own.py").write_text(text)
        given = {"kind": "architecture", "source": f"own.py:{name}", "settings": settings}
        return OutsideSpec.model_validate(given, context={plugins.FOLDER: tmp_path})

    return made
