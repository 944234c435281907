"""Weights that were trained anew under the same name stand in rows of their own names."""

from dataclasses import replace

from bench_samples import EXPERIMENT, runs_of

from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.facts.namesakes import tell_apart
from rnnprop_cli.view.table.summary import summarize


def learned(sha256: str | None, losses: list[float]) -> list[RunInfo]:
    config = {"environment": {"weights_sha256": sha256} if sha256 else {}, "lr": 0.1}
    runs = runs_of("rnnprop", losses, is_baseline=False, lr=0.1)
    return [replace(run, config=config) for run in runs]


def test_the_weights_used_last_keep_the_name_and_older_ones_say_which_they_are() -> None:
    runs = [*learned("a" * 64, [0.3, 0.4]), *runs_of("adam", [0.2, 0.3]), *learned("b" * 64, [0.1, 0.2])]
    rows = summarize(EXPERIMENT, tell_apart(runs)).rows
    means = {row.optimizer: row.final.mean.centre for row in rows}
    assert [*means] == ["rnnprop", "adam", "rnnprop (aaaaaaaa)"]
    assert abs((means["rnnprop"] or 0) - 0.15) < 1e-12


def test_nothing_is_renamed_without_need() -> None:
    runs = [*learned("a" * 64, [0.3]), *learned(None, [0.4]), *runs_of("adam", [0.2])]
    assert tell_apart(runs) == runs
