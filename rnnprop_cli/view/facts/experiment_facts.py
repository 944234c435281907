"""What somebody who wants to check a benchmark needs to know about it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rnnprop_cli.records import ExperimentInfo, RunInfo
from rnnprop_cli.spec.stored import upgraded_bench

_SHOWN: Final = ("device", "dtype", "threads")  # of the environment, elsewhere already


def experiment_facts(experiment: ExperimentInfo, runs: Sequence[RunInfo]) -> dict[str, str]:
    """Facts by name, in the order in which they are read; what is not known is left out."""
    facts = experiment.facts
    spec, environment = experiment.spec, experiment.environment
    tuning = _mapping(spec.get("tuning"))
    found = {
        "benchmark": f"{facts.name} (id {experiment.id})",
        "what": str(spec.get("description") or ""),
        "started": experiment.created_utc,
        "cells": _counts(runs),
        "seeds": _seeds(runs, "final", spec.get("seed")),
        "tuning seeds": _seeds(runs, "tuning", spec.get("seed")),
        "minibatches": _minibatches(spec),
        "search": f"2^(-k/2), {tuning['points']} rates at first, {tuning['extend_by']} more at an edge, at most "
        f"{tuning['max_rounds']} rounds{_confirmation(tuning)}"
        if {"points", "extend_by", "max_rounds"} <= tuning.keys()
        else "",
        "device": ", ".join(sorted({f"{r.facts.device} · {r.facts.dtype} · {_threads(r)}" for r in runs})),
        "environment": ", ".join(f"{name} {environment[name]}" for name in environment if name not in _SHOWN),
        "versions": ", ".join(f"{name} {value}" for name, value in experiment.versions.items()),
        "commit": facts.git_sha or "",
        "spec sha256": facts.spec_sha256,
        "data": _hashes(runs, "dataset_sha256", lambda run: run.facts.dataset),
        "weights": _hashes(runs, "weights_sha256", lambda run: run.facts.optimizer),
    }
    return {name: value for name, value in found.items() if value}


def _confirmation(tuning: Mapping[str, Any]) -> str:
    more = tuning.get("confirm_seeds")
    return f"; rates that tie, and the best 3, on {more} more tuning seeds" if more else ""


def _minibatches(spec: Mapping[str, Any]) -> str:
    found = upgraded_bench(spec)
    how = {"epochs": "epochs, without replacement", "replacement": "with replacement"}.get(found["sampling"])
    return f"{found['minibatch']} examples, drawn {how}" if how and "minibatch" in found else ""


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _counts(runs: Sequence[RunInfo]) -> str:
    statuses = Counter(run.result.status for run in runs)
    return f"{len(runs):,} ({', '.join(f'{count:,} {status}' for status, count in sorted(statuses.items()))})"


def _seeds(runs: Sequence[RunInfo], phase: str, root: object) -> str:
    seeds = sorted({run.facts.seed for run in runs if run.facts.phase == phase})
    if not seeds:
        return ""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:  # as versions before the hash drew them
        return f"{seeds[0]} to {seeds[-1]}"
    of_root = "" if root is None else f", of root seed {root}"
    return ", ".join(map(str, seeds)) if len(seeds) <= 3 else f"{len(seeds)}{of_root}"


def _threads(run: RunInfo) -> str:
    count = run.facts.threads
    return f"{count} thread{'' if count == 1 else 's'}"


def _hashes(runs: Sequence[RunInfo], name: str, of_what: Any) -> str:
    hashes: dict[tuple[str, str], None] = {}
    for run in runs:
        if run.facts.phase != "final":
            continue
        sha256 = run.environment.get(name)
        if sha256:
            hashes[str(of_what(run)), str(sha256)] = None
    return ", ".join(f"{what} {sha256}" for what, sha256 in sorted(hashes))
