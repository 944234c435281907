"""Which runs belong together. Nothing else decides that: tables, plots and figures all take their groups from here."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rnnprop_cli.records import RunFacts, RunInfo
from rnnprop_cli.view.table.rows import Problem
from rnnprop_cli.view.table.run_losses import losses_by_seed


@dataclass(frozen=True, eq=False)
class Seeds:
    """Runs that differ in nothing but their seed, before anything is compared."""

    runs: tuple[RunInfo, ...]  # by seed

    @property
    def id(self) -> int:
        """The least of its runs' ids: stays the same while seeds are added."""
        return min(run.id for run in self.runs)

    @property
    def facts(self) -> RunFacts:
        """What all its runs share, but for the seed and the key."""
        return self.runs[0].facts

    @property
    def problem(self) -> Problem:
        """What is optimised, for how long."""
        return Problem.of(self.facts)

    @cached_property
    def losses(self) -> dict[int, float]:
        """Final losses by seed; infinite where diverged."""
        return losses_by_seed(self.runs)

    @cached_property
    def search_key(self) -> Hashable:
        """What the groups of a search share with the final runs at the rate that it found."""
        run = self.runs[0]
        return self.problem, run.facts.optimizer, settings_of(run)


def by_seed(runs: Iterable[RunInfo]) -> list[Seeds]:
    """Groups in the order in which their first runs come. Runs of different settings never meet, whatever their
    labels say."""
    members: dict[Hashable, list[RunInfo]] = {}
    for run in runs:
        f = run.facts
        settings = _settings(run.config, without=("seed",))
        key = (Problem.of(f), f.optimizer, f.phase, f.is_baseline, f.lr, settings)
        members.setdefault(key, []).append(run)
    return [
        Seeds(tuple(sorted(group, key=lambda run: (run.facts.seed, run.id)))) for group in members.values()
    ]


def by_problem(runs: Iterable[RunInfo]) -> dict[Problem, list[RunInfo]]:
    """Runs that are compared with one another."""
    found: dict[Problem, list[RunInfo]] = {}
    for run in runs:
        found.setdefault(Problem.of(run.facts), []).append(run)
    return found


def by_search(groups: Iterable[Seeds]) -> dict[Hashable, list[Seeds]]:
    """The groups of each search, by learning rate."""
    found: dict[Hashable, list[Seeds]] = {}
    for group in groups:
        if group.facts.phase == "tuning":
            found.setdefault(group.search_key, []).append(group)
    return {key: sorted(members, key=lambda one: one.facts.lr or 0.0) for key, members in found.items()}


def settings_of(run: RunInfo) -> str:
    """What a run shares with all others of its row, and of the search for its learning rate."""
    return _settings(run.config, without=("seed", "lr", "phase"))


def _settings(config: Mapping[str, Any], without: Sequence[str]) -> str:
    """Everything that identifies a run but what is left out."""
    return json.dumps({name: value for name, value in config.items() if name not in without}, sort_keys=True)
