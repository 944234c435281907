"""Curves as text for other programs, piece by piece, so that a large export needs little memory."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.formats.records import csv_line

# What identifies a curve and tells what it is of, in the order in which every format has it.
FACTS: Final = (
    *("run", "key", "experiment", "dataset", "optimizee", "depth", "activation", "horizon", "optimizer"),
    *("learning_rate", "seed", "phase", "status", "metric"),
)


class RunCurve(NamedTuple):
    """One metric of one run."""

    run: RunInfo
    metric: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    experiment: str  # its name


def facts_of(curve: RunCurve) -> dict[str, Any]:
    """By the names of `FACTS`."""
    facts = curve.run.facts
    return {
        "run": curve.run.id,
        "key": facts.key,
        "experiment": curve.experiment,
        "dataset": facts.dataset,
        "optimizee": facts.optimizee,
        "depth": facts.depth,
        "activation": facts.activation,
        "horizon": facts.horizon,
        "optimizer": facts.optimizer,
        "learning_rate": facts.lr,
        "seed": facts.seed,
        "phase": facts.phase,
        "status": curve.run.result.status,
        "metric": curve.metric,
    }


def curves_csv(curves: Sequence[RunCurve]) -> Iterator[str]:
    """A line per value. Values are float32 in their shortest spelling; `nan`, `inf` and `-inf` are spelled out."""
    yield csv_line((*_CSV_FACTS, "step", "value")) + "\n"
    for curve in curves:
        facts = facts_of(curve)
        start = csv_line([facts[name] for name in _CSV_FACTS])
        pairs = zip(curve.steps.tolist(), curve.values.astype(np.float32).astype(str), strict=True)
        yield "".join(f"{start},{step},{value}\n" for step, value in pairs)


_CSV_FACTS: Final = tuple(name for name in FACTS if name != "key")  # 64 characters on every line


def curves_json(curves: Sequence[RunCurve]) -> Iterator[str]:
    """A JSON array with an object per curve; what is not finite is null."""
    yield "["
    for number, curve in enumerate(curves):
        values: list[Any] = [
            float(str(value)) if math.isfinite(value) else None for value in curve.values.astype(np.float32)
        ]
        record = facts_of(curve) | {"steps": curve.steps.tolist(), "values": values}
        yield ("\n" if not number else ",\n") + json.dumps(record, allow_nan=False)
    yield "\n]\n"
