"""Learned optimizers of one name but of different weights, as after a meta-training was done anew, told apart."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.facts.weights_facts import weights_sha256

_DIGITS: Final = 8  # of the weights' SHA-256


def tell_apart(runs: Sequence[RunInfo]) -> list[RunInfo]:
    """The runs, those of older weights renamed to `name (SHA-256)`; the weights used last keep the plain name.

    Args:
        runs: of one benchmark, in the order in which they were planned.
    """
    weights = [None if run.facts.is_baseline else weights_sha256(run) for run in runs]
    last = {
        run.facts.optimizer: sha256 for run, sha256 in zip(runs, weights, strict=True) if sha256 is not None
    }
    return [
        run
        if sha256 is None or sha256 == last[run.facts.optimizer]
        else replace(run, facts=replace(run.facts, optimizer=f"{run.facts.optimizer} ({sha256[:_DIGITS]})"))
        for run, sha256 in zip(runs, weights, strict=True)
    ]
