"""The coordinatewise network of a learned optimizer, and passes around it, in several bodies: PyTorch, C++, Triton.

What belongs here computes on plain tensors and knows no optimizee and no optimizer; `accelerate` brings them together.
`select` chooses a body, which is tried before it is trusted; `reference` says what is right.
"""

from typing import Literal

# Which implementation computes the network of a learned optimizer.
KernelName = Literal["auto", "reference", "cpu", "cuda"]
