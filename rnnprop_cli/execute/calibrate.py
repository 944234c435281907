"""How fast this machine multiplies matrices, for estimates."""

import time
from typing import Final

import torch

from rnnprop_cli.execute.device import DTYPES, Engine

SIZE: Final = 768
SECONDS: Final = 0.2


def product_rate(engine: Engine, dtype: str) -> float:
    """Floating-point operations per second of a large matrix product, the best of a few."""
    device = engine.torch_device
    a = torch.ones(SIZE, SIZE, dtype=DTYPES[dtype], device=device)
    best = 0.0
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        started = time.monotonic()
        product = a @ a
        float(product[0, 0])  # waits for the device
        best = max(best, 2 * SIZE**3 / (time.monotonic() - started))
    return best
