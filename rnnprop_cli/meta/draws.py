"""Which task a meta-iteration trains on, and for how long: a pure function of the seed and its number."""

from itertools import accumulate
from typing import NamedTuple

from rnnprop_cli.seeds import derive_seed
from rnnprop_cli.spec.horizons import drawn
from rnnprop_cli.spec.train import TrainSpec


class Draw(NamedTuple):
    """What one meta-iteration trains on."""

    task: int  # number in `TrainSpec.tasks`
    horizon: int  # steps of its trajectory
    unroll: int  # steps of each window

    @property
    def windows(self) -> int:
        """Updates of the meta-params."""
        return self.horizon // self.unroll


def draw(spec: TrainSpec, meta_iteration: int) -> Draw:
    """What the meta-iteration of this number, counted from 0, trains on."""
    tasks = spec.tasks
    bounds = list(accumulate(task.weight for task in tasks))
    at = _share(spec.seed, "task", meta_iteration) * bounds[-1]
    number = next(index for index, bound in enumerate(bounds) if at < bound)
    _, _, horizon, unroll, _ = tasks[number]
    return Draw(number, drawn(horizon, unroll, _share(spec.seed, "horizon", meta_iteration)), unroll)


def _share(*path: int | str) -> float:
    """In [0, 1)."""
    return (derive_seed(*path) >> 10) / 2**53
