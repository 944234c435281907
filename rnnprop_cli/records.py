"""Frozen facts that cross stages: what a run is, what it measured. Plain values, no torch, no database.

A *run* is one cell of a benchmark or one meta-training. The executor makes `CellResult` and `CurveBlock`, the store
keeps them, the view reads them back as `RunInfo` and `ExperimentInfo`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["bench", "train"]
Phase = Literal["tuning", "default", "final", "train"]
# Where a learning rate comes from. tuned: the search of this benchmark; given: a number in the spec; default: the
# library's; own: a learned optimizer's alpha, trained or given.
LrSource = Literal["tuned", "given", "default", "own"]
Status = Literal["queued", "running", "done", "diverged", "failed", "interrupted"]

# Metrics that the program writes; the store accepts any name.
LOSS = "loss"  # of a cell: loss[t], taken before update t
LOSS_MIN = "loss_min"  # of a bin of a thinned curve, whose LOSS is then the mean of the bin
LOSS_MAX = "loss_max"
TRAIN_LOSS = "train_loss"  # of a meta-training, per meta-iteration
MOVING_AVERAGE = "moving_average"
VALIDATION_LOSS = "validation_loss"
RATE = "meta_iterations_per_s"


def task_validation(number: int, label: str) -> str:
    """The metric of the validation loss of one of several tasks, numbered from 1."""
    return f"{VALIDATION_LOSS} {number}: {label}"


def with_activation(optimizee: str, activation: str | None) -> str:
    """What lines of text call an optimizee, which have no column for its activation.

    >>> with_activation("mlp", "sigmoid")
    'mlp sigmoid'
    """
    return optimizee if activation is None else f"{optimizee} {activation}"


@dataclass(frozen=True)
class ExperimentFacts:
    """What was asked, by whom and with what: written once when an experiment starts."""

    kind: Kind
    name: str
    spec_toml: str  # the file as the user wrote it, for reading
    spec_json: str  # the resolved spec, every default filled in
    spec_sha256: str  # of what identifies the resolved spec
    git_sha: str | None
    versions: str  # JSON: python, torch, numpy, rnnprop, ...
    argv: str  # JSON list
    host: str


@dataclass(frozen=True)
class RunFacts:
    """What a run is, known before it starts."""

    key: str  # content hash, unique within the experiment
    phase: Phase
    optimizer: str  # label, e.g. "adam" or "rnnprop"
    is_baseline: bool
    optimizee: str  # label of the optimizee without dataset, depth and activation, e.g. "mlp 40"
    dataset: str | None
    depth: int | None
    activation: str | None
    horizon: int
    lr: float | None  # None where the optimizer has none
    lr_source: LrSource
    seed: int
    config_json: str  # canonical JSON of everything that identifies the run
    device: str
    dtype: str
    threads: int

    @property
    def network(self) -> str:
        """The optimizee with its activation."""
        return with_activation(self.optimizee, self.activation)


@dataclass(frozen=True)
class CellResult:
    """What came of a cell. Diverging is a result: status "diverged" with the first bad step."""

    key: str
    status: Status
    # the paper's: parameters frozen, mean over all minibatches met; NaN if diverged
    final_loss: float | None = None
    heldout_loss: float | None = None  # on the test split, where the data has one
    heldout_accuracy: float | None = None  # in [0, 1]
    first_bad_step: int | None = None  # first t whose loss is not finite
    elapsed_s: float | None = None  # monotonic; a batch's time divided by its cells
    peak_bytes: int | None = None  # of the batch
    error: str | None = None
    node: str | None = None  # name of the machine that computed it


@dataclass(frozen=True)
class CurveBlock:
    """Consecutive values of one metric of one run: value i belongs to step `step0 + i * stride`."""

    key: str
    metric: str
    step0: int
    values: NDArray[np.float32]
    stride: int = 1


@dataclass(frozen=True)
class CheckpointInfo:
    """Where the meta-params of a meta-training were saved."""

    meta_step: int  # meta-iterations done
    path: str  # relative to the database's folder
    sha256: str
    moving_average: float | None
    validation_loss: float | None = None
    created_utc: str = field(default="", compare=False)  # as the store says


@dataclass(frozen=True)
class MetaStepResult:
    """What one meta-iteration measured."""

    meta_iteration: int  # counted from 1: the number done
    train_loss: float  # f + g averaged over the window ends
    moving_average: float
    elapsed_s: float
    validation_loss: float | None = None
    task_losses: tuple[float, ...] = ()  # of validation, task by task, where there are several


@dataclass(frozen=True)
class ExperimentInfo:
    """An experiment as the store knows it."""

    id: int
    facts: ExperimentFacts
    created_utc: str
    folder: str | None = (
        None  # of a meta-training's checkpoints, relative to the database's; None where unknown
    )
    # What the JSON of its facts holds, read once by the store.
    resolved: Mapping[str, Any] = field(default_factory=dict, compare=False)  # spec_json
    versions: Mapping[str, Any] = field(default_factory=dict, compare=False)
    argv: tuple[str, ...] = field(default=(), compare=False)

    @property
    def spec(self) -> Mapping[str, Any]:
        """The resolved spec; empty where an earlier version recorded none."""
        return _mapping(self.resolved.get("spec"))

    @property
    def environment(self) -> Mapping[str, Any]:
        """With what it was computed; empty where an earlier version recorded none."""
        return _mapping(self.resolved.get("environment"))


@dataclass(frozen=True)
class RunInfo:
    """A run as the store knows it."""

    id: int
    experiment_id: int
    facts: RunFacts
    result: CellResult
    started_utc: str | None
    # what the JSON of its facts holds, read once by the store
    config: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def environment(self) -> Mapping[str, Any]:
        """The hashes of what it used, and with what it was computed."""
        return _mapping(self.config.get("environment"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
