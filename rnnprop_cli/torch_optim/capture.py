"""CUDA graphs of the user's own."""

import torch


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
