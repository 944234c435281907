"""Whether the datasets of a spec fit the rest of it, as far as a spec alone can tell.

Of a dataset that a package offers nothing is known without its code, which reading a spec never runs: whether that one
fits is seen when it is loaded.
"""

from collections.abc import Iterable

from rnnprop_cli.components.datasets import dataset_code, dataset_label, facts_of
from rnnprop_cli.components.datasets.base import too_small
from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.fields import Sampling


def misfit(optimizee: OptimizeeSpec) -> tuple[str, str] | None:
    """Where the settings of an optimizee and its dataset do not fit together; see `OptimizeeSpec`."""
    name = optimizee.dataset_name
    return optimizee.misfit() if name is None or dataset_code(name) is None else None


def too_small_datasets(optimizees: Iterable[OptimizeeSpec], minibatch: int, sampling: Sampling) -> list[str]:
    """What is wrong with `minibatch`, once for every dataset that is smaller."""
    named = dict.fromkeys(optimizee.dataset_name for optimizee in optimizees)
    sizes = {name: facts_of(name) for name in named if name is not None and dataset_code(name) is None}
    return [
        too_small(dataset_label(name), facts.train)
        for name, facts in sizes.items()
        if sampling == "epochs" and facts.whole and minibatch > facts.train
    ]
