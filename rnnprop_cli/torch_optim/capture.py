"""Graphs of the user's own: CUDA graphs, and those of torch.compile."""

from collections.abc import Callable
from inspect import signature
from typing import Any, Final, TypeVar

import torch

Step = TypeVar("Step", bound=Callable[..., Any])
WHY_OUTSIDE: Final = (
    "the step of a learned optimizer is one call of a compiled kernel already; leave fullgraph=True to the model and "
    "the loss, and call step() outside of it"
)


def outside_of_graphs(step: Step) -> Step:
    """`step` as torch.compile leaves it alone: a graph ends before it and another begins behind it."""
    known = signature(torch.compiler.disable).parameters
    reason = {"reason": WHY_OUTSIDE} if "reason" in known else {}  # older ones have no place for it
    wrapped: Step = torch.compiler.disable(**reason)(step)  # type: ignore[no-untyped-call]
    return wrapped


def refuse_capture(optimizer: object) -> None:
    """Refuses a step inside a CUDA graph that is being captured, as torch.optim does without `capturable`.

    Call it first in `step()`: the number of a step is Python's, and captured it would be the same in every replay.

    Raises:
        RuntimeError: the current stream is being captured.
    """
    if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        name = type(optimizer).__name__
        raise RuntimeError(
            f"{name}.step() cannot be captured in a CUDA graph: every replay would take the same step again. "
            "Capture the forward and the backward pass, and call step() after each replay"
        )
