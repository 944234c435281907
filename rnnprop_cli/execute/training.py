"""What every meta-training has in common: a generator of measurements and snapshots.

Everything random is a pure function of (seed, meta-iteration, task), so a `Snapshot` holds all that is needed to go on.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rnnprop_cli.execute.device import DTYPES, Engine
from rnnprop_cli.execute.tasks import TaskSet
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.records import MetaStepResult
from rnnprop_cli.spec.train import TrainSpec

MOVING_AVERAGE_DECAY: Final = 0.9  # section 5: of the train losses, one per meta-iteration
AVERAGE: Final = "average"  # its name among the tensors of a snapshot


@dataclass(frozen=True)
class Snapshot:
    """The whole state of a meta-training after `meta_iteration` meta-iterations. Plain values."""

    meta_iteration: int
    # meta-params by name; "average" [2]; by meta-gradients "adam.m" and "adam.v" [Q], by evolution "fitness" [G, L]
    tensors: dict[str, NDArray[Any]]
    moving_average: float
    validation_loss: float | None


@dataclass(frozen=True)
class TrainEvent:
    """What the generator yields after every meta-iteration."""

    result: MetaStepResult
    snapshot: Snapshot | None  # where one is due
    notice: str | None = None  # one line that somebody should read
    signal: int | None = None  # that another rank has received


class MovingAverage:
    """Exponential moving average without the bias towards its start."""

    def __init__(self, total: float = 0.0, weight: float = 0.0) -> None:
        self.total, self.weight = total, weight

    def add(self, value: float) -> float:
        """Takes one value in and returns the average."""
        self.total = MOVING_AVERAGE_DECAY * self.total + (1 - MOVING_AVERAGE_DECAY) * value
        self.weight = MOVING_AVERAGE_DECAY * self.weight + (1 - MOVING_AVERAGE_DECAY)
        return self.value

    @property
    def value(self) -> float:
        """The average; NaN before the first value."""
        return self.total / self.weight if self.weight else float("nan")

    @property
    def kept(self) -> NDArray[Any]:
        """[2] what a snapshot holds of it."""
        return np.array([self.total, self.weight], dtype=np.float64)


class Training(ABC):
    """One meta-training on one engine.

    Args:
        spec: the recipe.
        engine: where to run.
        snapshot: where to go on from; None to start.
        dataset_sha256: what its dataset must be; None: whatever is there.

    Raises:
        DataError: the dataset is absent or another one.
    """

    def __init__(
        self, spec: TrainSpec, engine: Engine, snapshot: Snapshot | None, dataset_sha256: str | None
    ) -> None:
        self.spec = spec
        self.rule = spec.optimizer.build()
        self.device, self.dtype = engine.torch_device, DTYPES[spec.dtype]
        self.kernel: Kernel
        self.kernel, self.kernel_notice = select_kernel(engine.kernel, self.device, self.dtype)
        self.task_set = TaskSet(spec, engine, self.kernel, dataset_sha256)
        self.meta_iteration = 0 if snapshot is None else snapshot.meta_iteration
        self.average = MovingAverage(*([] if snapshot is None else snapshot.tensors[AVERAGE].tolist()))

    def lead(self) -> int | None:
        """Before a meta-iteration: lets other processes know that it begins, and a signal that one has received."""
        return None

    @abstractmethod
    def iterate(self) -> tuple[float, str | None]:
        """Does the next meta-iteration and counts it: its train loss, and one line that somebody should read."""

    @abstractmethod
    def validate(self) -> tuple[float, tuple[float, ...]]:
        """Final loss on seeds that meta-training never sees, and those of the tasks, where there are several."""

    @abstractmethod
    def snapshot(self, validation_loss: float | None = None) -> Snapshot:
        """All that is needed to go on from here."""

    def run(self) -> Iterator[TrainEvent]:
        """Meta-iterations until the spec's number is done.

        Raises:
            DeviceLostError: the GPU answers this process no more.
            RankLostError: another process of it has gone.
        """
        spec = self.spec
        while self.meta_iteration < spec.meta_iterations:
            heard = self.lead()
            started = time.monotonic()
            train_loss, notice = self.iterate()
            average = self.average.add(train_loss)
            elapsed_s = time.monotonic() - started
            done = self.meta_iteration == spec.meta_iterations
            kept = self.meta_iteration % spec.checkpoint.every == 0
            validation_loss: float | None = None
            task_losses: tuple[float, ...] = ()
            if done or kept or self.meta_iteration % spec.validation.every == 0:
                validation_loss, task_losses = self.validate()
            result = MetaStepResult(
                self.meta_iteration, train_loss, average, elapsed_s, validation_loss, task_losses
            )
            due = done or kept or self.meta_iteration % spec.checkpoint.rolling == 0
            yield TrainEvent(result, self.snapshot(validation_loss) if due else None, notice, heard)
