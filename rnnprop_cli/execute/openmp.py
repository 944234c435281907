"""How long PyTorch's own threads wait for work. Must be said before PyTorch is loaded; loads nothing itself."""

import os
from collections.abc import MutableMapping
from typing import Final

# Turns of libgomp's loop: some microseconds, where its default is milliseconds in which a core is taken from others.
SPIN_TURNS: Final = "1000"
_SAID_BY_THE_USER: Final = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def bound_spin(environment: MutableMapping[str, str] = os.environ) -> None:
    """Keeps OpenMP's idle threads from spinning beside the compiled kernel's own; what a user has set stays.

    Args:
        environment: of this process, which its workers inherit.
    """
    if not any(name in environment for name in _SAID_BY_THE_USER):
        environment["GOMP_SPINCOUNT"] = SPIN_TURNS
