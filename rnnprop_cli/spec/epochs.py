"""Whether the datasets of a spec hold a minibatch, as far as a spec alone can tell."""

from collections.abc import Iterable

from rnnprop_cli.components.datasets import dataset_label, facts_of
from rnnprop_cli.components.datasets.base import too_small
from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.fields import Sampling


def too_small_datasets(optimizees: Iterable[OptimizeeSpec], minibatch: int, sampling: Sampling) -> list[str]:
    """What is wrong with `minibatch`, once for every dataset that is smaller."""
    named = dict.fromkeys(optimizee.dataset_name for optimizee in optimizees)
    sizes = {name: facts_of(name) for name in named if name is not None}
    return [
        too_small(dataset_label(name), facts.train)
        for name, facts in sizes.items()
        if sampling == "epochs" and facts.whole and minibatch > facts.train
    ]
