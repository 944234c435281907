"""Curves as text for other programs, piece by piece, so that a large export needs little memory."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.formats.records import csv_line

_HEADER = ("run", "optimizer", "learning_rate", "seed", "metric", "step", "value")


class RunCurve(NamedTuple):
    """One metric of one run."""

    run: RunInfo
    metric: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def curves_csv(curves: Sequence[RunCurve]) -> Iterator[str]:
    """A line per value. Values are float32 in their shortest spelling; `nan`, `inf` and `-inf` are spelled out."""
    yield csv_line(_HEADER) + "\n"
    for curve in curves:
        facts = curve.run.facts
        start = csv_line((curve.run.id, facts.optimizer, facts.lr, facts.seed, curve.metric))
        pairs = zip(curve.steps.tolist(), curve.values.astype(np.float32).astype(str), strict=True)
        yield "".join(f"{start},{step},{value}\n" for step, value in pairs)


def curves_json(curves: Sequence[RunCurve]) -> Iterator[str]:
    """A JSON array with an object per curve; what is not finite is null."""
    yield "["
    for number, curve in enumerate(curves):
        facts = curve.run.facts
        values: list[Any] = [
            float(str(value)) if math.isfinite(value) else None for value in curve.values.astype(np.float32)
        ]
        record = {
            "run": curve.run.id,
            "key": facts.key,
            "optimizer": facts.optimizer,
            "learning_rate": facts.lr,
            "seed": facts.seed,
            "metric": curve.metric,
            "steps": curve.steps.tolist(),
            "values": values,
        }
        yield ("\n" if not number else ",\n") + json.dumps(record, allow_nan=False)
    yield "\n]\n"
