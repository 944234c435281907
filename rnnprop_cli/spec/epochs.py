"""Whether the datasets of a spec hold a minibatch, as far as a spec alone can tell."""

from collections.abc import Iterable
from typing import Final

from rnnprop_cli.spec.base import Sampling
from rnnprop_cli.spec.optimizees import OptimizeeSpec, dataset_of

# Examples of the training splits whose size is known without looking; CIFAR-10 may be a part of it.
TRAIN_EXAMPLES: Final = {"digits": 1_438, "mnist": 55_000}


def too_small_datasets(optimizees: Iterable[OptimizeeSpec], minibatch: int, sampling: Sampling) -> list[str]:
    """What is wrong with `minibatch`, once for every dataset that is smaller."""
    names = dict.fromkeys(dataset_of(optimizee) for optimizee in optimizees)
    return [
        too_small(name, TRAIN_EXAMPLES[name])
        for name in names
        if sampling == "epochs" and name in TRAIN_EXAMPLES and minibatch > TRAIN_EXAMPLES[name]
    ]


def too_small(dataset: str, examples: int) -> str:
    """The message, to stand after the name of the setting."""
    return (
        f"is more than the {examples:,} training examples of {dataset}, so that an epoch holds no minibatch: make it "
        'smaller, or set sampling = "replacement"'
    )
