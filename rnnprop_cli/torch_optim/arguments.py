"""Arguments as other optimizers take them: numbers of any kind, and settings that mean something else here."""

from difflib import get_close_matches
from math import isfinite
from numbers import Real
from typing import Any, Final

import numpy as np
from torch import Tensor

from rnnprop_cli.components.learned.base import ArchitectureSpec
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec

# Accepted and without effect: how a step is computed is chosen by `kernel`.
WITHOUT_EFFECT: Final = ("foreach", "fused")
# What these must be, and what to do for those who want something else.
FIXED: Final = {
    "capturable": (
        False,
        "its count of steps is on the CPU; keep step() out of CUDA graphs and capture the rest",
    ),
    "differentiable": (False, "there is no graph through the step; meta-train by `rnnprop train`"),
    "amsgrad": (False, "there is no such variant; leave it out"),
    "decoupled_weight_decay": (
        True,
        "its decay is that of AdamW; add weight_decay * param to the gradients for L2",
    ),
    "nesterov": (False, "there is no such variant; leave it out"),
}
OF_THE_WEIGHTS: Final = ("betas", "eps")  # trained with them, they would mean nothing with others


def check_elsewhere(
    name: str, given: dict[str, Any], known: tuple[str, ...], architecture: ArchitectureSpec
) -> None:
    """Whether arguments that other optimizers have mean what they say here.

    Args:
        name: of the class.
        given: arguments that its signature does not name.
        known: those that it names.
        architecture: of the weights.

    Raises:
        TypeError: no optimizer's argument, or one that has no meaning here.
        ValueError: a known one with a value that cannot be had.
    """
    for key, value in given.items():
        if key in WITHOUT_EFFECT or value is None:
            continue
        if key in FIXED:
            required, remedy = FIXED[key]
            if bool(value) != required:
                raise ValueError(f"{name} cannot be had with {key}={value}: {remedy}")
        elif key in OF_THE_WEIGHTS:
            own = _of_the_weights(key, architecture)
            if own is None or not np.array_equal(np.asarray(value, dtype=float), np.asarray(own)):
                has = "has none" if own is None else f"was trained with {own}"
                raise ValueError(
                    f"{name} cannot be had with {key}={value}: it {has}. They belong to the weights; "
                    "`rnnprop train` makes weights with others"
                )
        else:
            close = get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; it takes {', '.join(known)}"
            raise TypeError(f"{name}() got an unexpected keyword argument {key!r}{hint}")


def meant_elsewhere(group: dict[str, Any]) -> dict[str, Any]:
    """What a param group sets that has a meaning in other optimizers; any other key is the user's own."""
    return {key: value for key, value in group.items() if key in (*WITHOUT_EFFECT, *FIXED, *OF_THE_WEIGHTS)}


def _of_the_weights(key: str, architecture: ArchitectureSpec) -> Any:
    if not isinstance(architecture, RNNpropSpec):
        return None
    return (architecture.beta1, architecture.beta2) if key == "betas" else architecture.eps


def number(name: str, value: Any) -> float | Tensor:
    """A rate or the like as it is kept in a param group: a tensor as it is, for schedulers fill it; else a float.

    Raises:
        TypeError: not one real number.
        ValueError: below 0, or not finite.
    """
    kept = value
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        value = value.item()
    elif isinstance(value, np.ndarray | np.generic) and value.size == 1 and value.dtype.kind in "fiu":
        kept = value = float(value.reshape(-1)[0])
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {kept!r}")
    if not (isfinite(value) and float(value) >= 0):
        raise ValueError(f"{name} must be 0 or more and finite, not {kept}")
    return kept if isinstance(kept, Tensor) else float(kept)
