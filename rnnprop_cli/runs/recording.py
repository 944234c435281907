"""Hands what a meta-training yields to the store and to the checkpoint folder, in the order that makes it resumable."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from rnnprop_cli.errors import CodeError, RankLostError, suggested
from rnnprop_cli.execute.training import Snapshot, Training
from rnnprop_cli.records import (
    MOVING_AVERAGE,
    RATE,
    TRAIN_LOSS,
    VALIDATION_LOSS,
    CheckpointInfo,
    CurveBlock,
    MetaStepResult,
    task_validation,
)
from rnnprop_cli.runs.interrupt import StopRequest
from rnnprop_cli.runs.observer import CheckpointKept, MetaStepDone, Notice, Observer
from rnnprop_cli.runs.resume import Resumption
from rnnprop_cli.runs.snapshots import is_kept, remove_rolled, save_snapshot
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.store.writer import Writer

SECONDS_PER_FLUSH: Final = 1.0  # how long measurements wait before the store has them


@dataclass
class Recorder:
    """The record of one meta-training."""

    spec: TrainSpec
    writer: Writer
    place: Resumption
    folder: Path
    database: Path
    observe: Observer
    elapsed_s: float = 0.0
    first_bad: int | None = None
    _saved: int = 0  # the meta-iteration of the state that is on disk; that of 0 need not be
    _pending: list[MetaStepResult] = field(default_factory=list)

    def run(self, training: Training, stop: StopRequest) -> None:
        """Runs to the end, or to the meta-iteration in which somebody asked to stop."""
        last_flush = time.monotonic()
        self._saved = training.meta_iteration
        try:
            for event in training.run():
                self.elapsed_s += event.result.elapsed_s
                self._pending.append(event.result)
                self.observe(MetaStepDone(event.result))
                if event.notice is not None:
                    self.observe(Notice(event.notice))
                if not np.isfinite(event.result.train_loss):
                    self.first_bad = event.result.meta_iteration
                    break
                if event.snapshot is not None:
                    self._save(event.snapshot)
                if time.monotonic() - last_flush > SECONDS_PER_FLUSH:
                    self._flush()
                    last_flush = time.monotonic()
                if stop or stop.received(event.signal):
                    break
            self._flush()
            if stop:
                self._save_once(training)
                self._mark_interrupted()
        except KeyboardInterrupt:
            self._mark_interrupted()
            raise
        except RankLostError as error:
            self._flush()
            self._save_once(training)
            self._mark_interrupted()
            if stop:
                return
            raise RankLostError(
                f"{error}. Meta-iteration {training.meta_iteration} is kept, and any number of ranks goes on from "
                f"there: {suggested('train', '--resume', self.spec.name, '--ranks', 1)}"
            ) from error
        except CodeError as error:
            self._flush()
            self.writer.mark(self.place.experiment_id, [self.place.run.key], "failed", str(error))
            raise

    def _mark_interrupted(self) -> None:
        self.writer.mark(self.place.experiment_id, [self.place.run.key], "interrupted", self.place.inexact)

    def _flush(self, *, durable: bool = False) -> None:
        """Measurements to the store; step t of a curve is the t-th meta-iteration."""
        if not self._pending:
            return
        first = self._pending[0].meta_iteration
        columns = {
            TRAIN_LOSS: [result.train_loss for result in self._pending],
            MOVING_AVERAGE: [result.moving_average for result in self._pending],
            RATE: [1 / max(result.elapsed_s, 1e-9) for result in self._pending],
        }
        blocks = [
            CurveBlock(self.place.run.key, metric, first, np.array(values, dtype=np.float32))
            for metric, values in columns.items()
        ]
        blocks += [
            CurveBlock(
                self.place.run.key,
                VALIDATION_LOSS,
                result.meta_iteration,
                np.array([result.validation_loss], dtype=np.float32),
            )
            for result in self._pending
            if result.validation_loss is not None
        ]
        blocks += [
            CurveBlock(
                self.place.run.key,
                task_validation(number, task.label),
                result.meta_iteration,
                np.array([loss], dtype=np.float32),
            )
            for result in self._pending
            if result.task_losses
            for number, (task, loss) in enumerate(
                zip(self.spec.tasks, result.task_losses, strict=True), start=1
            )
        ]
        self.writer.append_curves(self.place.experiment_id, blocks, durable=durable)
        self._pending.clear()

    def _save_once(self, training: Training) -> None:
        """The state as it is, unless it is on disk already, where its validation may be with it."""
        if training.meta_iteration != self._saved:
            self._save(training.snapshot())

    def _save(self, snapshot: Snapshot) -> None:
        self._flush(durable=True)  # the store never lags behind a checkpoint, not even after a power cut
        self.writer.check_place()
        n = snapshot.meta_iteration
        saved = save_snapshot(self.folder, self.spec, snapshot)
        if is_kept(self.spec, n):
            path = saved.path.relative_to(self.database.expanduser().resolve().parent)
            info = CheckpointInfo(
                n, path.as_posix(), saved.sha256, snapshot.moving_average, snapshot.validation_loss
            )
            self.writer.add_checkpoint(self.place.experiment_id, self.place.run.key, info)
            self.observe(CheckpointKept(info))
        remove_rolled(self.folder, self.spec)
        self._saved = n
