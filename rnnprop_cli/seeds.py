"""Seeds as a pure function of named axes.

No generator is ever carried from one step to the next, so nothing about randomness has to be saved to resume, and two
optimizers that are compared on one seed see the same theta_0 and the same minibatches.
"""

import hashlib
from typing import Final

# The validation of a meta-training draws from a range of its own.
FIRST_VALIDATION_SEED: Final = 2_000_000
# Seeds of a benchmark are short enough to be read and typed.
SEED_BITS: Final = 31


def derive_seed(*path: int | str) -> int:
    """A seed in [0, 2^63) for a path of names and numbers, e.g. `derive_seed(root, "theta_0", 3)`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in path)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def fresh_seeds(root: int, count: int) -> tuple[int, ...]:
    """Seeds of the final runs of a benchmark: another root is another sample, and more seeds go on where fewer end."""
    return tuple(_bench_seed(root, "fresh", number) for number in range(count))


def tuning_seeds(root: int, numbers: range) -> tuple[int, ...]:
    """Seeds of a search, those of these numbers. None of them is ever a seed of the final runs."""
    return tuple(_bench_seed(root, "tuning", number) for number in numbers)


def _bench_seed(root: int, purpose: str, number: int) -> int:
    """Fresh ones are even, all others odd."""
    drawn = derive_seed(root, purpose, number) >> (63 - (SEED_BITS - 1))
    return 2 * drawn + (purpose != "fresh")
