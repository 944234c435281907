"""What a running use case tells whoever watches. Plain values; the watcher must not raise."""

from collections.abc import Callable
from dataclasses import dataclass

from rnnprop_cli.plan.cells import CellBatch
from rnnprop_cli.records import CellResult, CheckpointInfo, MetaStepResult


@dataclass(frozen=True)
class Notice:
    """A line for the reader."""

    text: str


@dataclass(frozen=True)
class BenchPlanned:
    """Before the first batch. Tuning may add cells later, when a best learning rate lies at an edge."""

    name: str
    cells: int
    done: int  # already in the store


@dataclass(frozen=True)
class CellsAdded:
    """The search of a lane needs other rounds than were counted; below 0: fewer cells."""

    cells: int


@dataclass(frozen=True)
class BatchStarted:
    """A batch begins; `skipped` if the store has all its results."""

    batch: CellBatch
    skipped: bool


@dataclass(frozen=True)
class BatchStep:
    """A batch goes on."""

    batch: CellBatch
    steps_done: int


@dataclass(frozen=True)
class BatchFinished:
    """A batch is in the store."""

    batch: CellBatch
    results: tuple[CellResult, ...]


@dataclass(frozen=True)
class TrainPlanned:
    """Before the first meta-iteration."""

    name: str
    meta_iterations: int
    done: int
    kernel: str


@dataclass(frozen=True)
class MetaStepDone:
    """After a meta-iteration."""

    result: MetaStepResult


@dataclass(frozen=True)
class CheckpointKept:
    """A checkpoint is on disk."""

    checkpoint: CheckpointInfo


Event = (
    Notice
    | BenchPlanned
    | CellsAdded
    | BatchStarted
    | BatchStep
    | BatchFinished
    | TrainPlanned
    | MetaStepDone
    | CheckpointKept
)
Observer = Callable[[Event], None]
