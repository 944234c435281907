"""Small experiments and runs for the store's tests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from rnnprop_cli.records import CurveBlock, ExperimentFacts, RunFacts
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.writer import Writer

EXPERIMENT = ExperimentFacts(
    kind="bench",
    name="quickstart",
    spec_toml='name = "quickstart"\n',
    spec_json='{"name":"quickstart"}',
    spec_sha256="5" * 64,
    git_sha="0123abcd",
    versions='{"python":"3.11"}',
    argv='["rnnprop","bench"]',
    host="somewhere",
)
RUN = RunFacts(
    key="",
    phase="final",
    optimizer="adam",
    is_baseline=True,
    optimizee="mlp",
    dataset="digits",
    depth=1,
    activation="sigmoid",
    horizon=100,
    lr=2**-5,
    lr_source="tuned",
    seed=0,
    config_json="{}",
    device="cpu",
    dtype="float32",
    threads=1,
)


def key_of(number: int) -> str:
    return f"{number:064x}"


def some_runs(count: int, first: int = 0) -> list[RunFacts]:
    return [replace(RUN, key=key_of(n), seed=n) for n in range(first, first + count)]


def block(number: int, step0: int, values: ArrayLike, metric: str = "loss", stride: int = 1) -> CurveBlock:
    return CurveBlock(key_of(number), metric, step0, np.asarray(values, dtype=np.float32), stride)


@contextmanager
def writer_with_runs(path: Path, count: int) -> Iterator[tuple[Writer, int]]:
    with Writer.open(path) as writer:
        experiment_id = writer.begin_experiment(EXPERIMENT)
        writer.add_runs(experiment_id, some_runs(count))
        yield writer, experiment_id


def values_of(path: Path, run_id: int, metric: str = "loss") -> tuple[list[int], list[float]]:
    with Reader.open(path) as reader:
        steps, values = reader.curve(run_id, metric)
    return steps.tolist(), values.tolist()


def same(a: Sequence[float], b: Sequence[float]) -> bool:
    """Equal as float32, NaN equal to NaN."""
    return np.array_equal(np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32), equal_nan=True)
