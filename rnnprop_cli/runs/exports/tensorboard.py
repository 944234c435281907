"""Curves as TensorBoard event files: a folder per run, its facts as hyperparameters to filter and sort by."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rnnprop_cli.records import RunInfo
from rnnprop_cli.runs.exports.folder import by_run, file_name, problem_name, require, run_name, whole_folder
from rnnprop_cli.view.formats.curve_export import RunCurve


def write_tensorboard(curves: Sequence[RunCurve], target: Path) -> int:
    """Fill a new folder; returns how many runs it holds. `tensorboard --logdir` shows it.

    Raises:
        UsageError: tensorboard is not installed.
        StoreError: the folder is there already, or cannot be written.
    """
    require("tensorboard", "tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    count = 0
    with whole_folder(target) as folder:
        for run, experiment, members in by_run(curves):
            count += 1
            start = _started(run)
            seconds = (run.result.elapsed_s or 0.0) / max(run.facts.horizon, 1)
            writer = EventFileWriter(str(folder / file_name(experiment) / problem_name(run) / run_name(run)))
            try:
                for value in _session(run, start):
                    writer.add_event(Event(summary=Summary(value=[value]), wall_time=start))
                for curve in members:
                    for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
                        point = Summary.Value(tag=curve.metric, simple_value=value)
                        event = Event(
                            summary=Summary(value=[point]), step=step, wall_time=start + step * seconds
                        )
                        writer.add_event(event)
            finally:
                writer.close()
    return count


def _session(run: RunInfo, start: float) -> list[Any]:
    """What TensorBoard's table of hyperparameters reads. Its own functions for this need TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboard.plugins.hparams.plugin_data_pb2 import (
        HParamsPluginData,
        SessionEndInfo,
        SessionStartInfo,
    )

    begun = SessionStartInfo(start_time_secs=start)
    for name, value in _hyperparameters(run).items():
        if isinstance(value, str):
            begun.hparams[name].string_value = value
        else:
            begun.hparams[name].number_value = value
    status = STATUS_SUCCESS if run.result.status == "done" else STATUS_FAILURE
    ended = SessionEndInfo(status=status, end_time_secs=start + (run.result.elapsed_s or 0.0))
    parts = {
        metadata.SESSION_START_INFO_TAG: HParamsPluginData(session_start_info=begun),
        metadata.SESSION_END_INFO_TAG: HParamsPluginData(session_end_info=ended),
    }
    return [
        Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
        for tag, data in parts.items()
    ]


def _hyperparameters(run: RunInfo) -> dict[str, str | float]:
    facts = run.facts
    values = {
        "optimizer": facts.optimizer,
        "learning_rate": facts.lr,
        "dataset": facts.dataset,
        "optimizee": facts.optimizee,
        "depth": facts.depth,
        "activation": facts.activation,
        "horizon": facts.horizon,
        "phase": facts.phase,
        "seed": facts.seed,
        "status": run.result.status,
    }
    return {name: value for name, value in values.items() if value is not None}


def _started(run: RunInfo) -> float:
    try:
        return datetime.fromisoformat(run.started_utc or "").timestamp()
    except ValueError:
        return 0.0
