"""Draws on their way to a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def sent(drawn: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """What was drawn on the CPU, on the device. Nobody waits: a GPU takes it from page-locked memory in its turn."""
    drawn = drawn if dtype is None else drawn.to(dtype)
    if device.type != "cuda":
        return drawn.to(device)
    return drawn.pin_memory().to(device, non_blocking=True)
