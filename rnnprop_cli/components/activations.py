"""Activation functions of hidden units, with their derivatives."""

from __future__ import annotations

from math import pi, sqrt
from typing import TYPE_CHECKING, Final, Literal

from rnnprop_cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

Activation = Literal["sigmoid", "relu", "elu", "tanh", "gelu", "silu"]

# Those whose derivative does not follow from their output.
NEED_INPUT: Final = ("gelu", "silu")


def activate(name: Activation, z: Tensor) -> Tensor:
    """The activation function; gelu is the exact one, z Phi(z)."""
    match name:
        case "sigmoid":
            return torch.sigmoid(z)
        case "relu":
            return torch.relu(z)
        case "elu":
            return torch.nn.functional.elu(z)
        case "tanh":
            return torch.tanh(z)
        case "gelu":
            return torch.nn.functional.gelu(z)
        case "silu":
            return torch.nn.functional.silu(z)


def slope(name: Activation, a: Tensor, z: Tensor | None = None) -> Tensor:
    """Derivative of the activation function.

    Args:
        name: which.
        a: its output.
        z: its input, for those of `NEED_INPUT`.
    """
    match name:
        case "sigmoid":
            return a * (1 - a)
        case "relu":
            return (a > 0).to(a.dtype)
        case "elu":
            return torch.where(a > 0, 1.0, a + 1)
        case "tanh":
            return 1 - a * a
    assert z is not None, f"the derivative of {name} needs its input"
    if name == "gelu":
        phi: Tensor = torch.special.ndtr(z)
        return phi + z * torch.exp(-0.5 * z * z) / sqrt(2 * pi)
    sigmoid = torch.sigmoid(z)
    return sigmoid * (1 + z * (1 - sigmoid))
