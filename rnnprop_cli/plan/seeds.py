"""Seeds as a pure function of named axes.

No generator is ever carried from one step to the next, so nothing about randomness has to be saved to resume, and two
optimizers that are compared on one seed see the same theta_0 and the same minibatches.
"""

import hashlib
from typing import Final

# A benchmark with seed s measures on the seeds s, s + 1, ... Tuning and validation draw from ranges of their own, so
# that nothing is chosen on the seeds that are reported.
FIRST_TUNING_SEED: Final = 1_000_000
FIRST_VALIDATION_SEED: Final = 2_000_000


def derive_seed(*path: int | str) -> int:
    """A seed in [0, 2^63) for a path of names and numbers, e.g. `derive_seed(root, "theta_0", 3)`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in path)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
