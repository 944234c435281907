"""Runs that differ only in their seed, as one thing: one row of a table, one line of a plot."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from rnnprop_cli.records import ExperimentInfo, RunFacts, RunInfo, Status
from rnnprop_cli.view.table.rows import Problem, SummaryRow
from rnnprop_cli.view.table.run_losses import losses_by_seed
from rnnprop_cli.view.table.summary import REPORTED_PHASES, summarize

# What a group is said to be when its runs differ: the first of these that one of them is.
_LOUDEST: tuple[Status, ...] = ("running", "failed", "diverged", "interrupted", "queued", "done")


@dataclass(frozen=True, eq=False)
class SeedGroup:
    """Runs of one optimizer at one learning rate on one problem in one phase."""

    id: int  # the least of its runs' ids: stays the same while seeds are added
    runs: tuple[RunInfo, ...]  # by seed
    row: SummaryRow  # over the seeds, against the best tuned baseline
    best_id: int | None  # the group of that baseline; None if there is none yet

    @property
    def facts(self) -> RunFacts:
        """What all its runs share, but for the seed and the key."""
        return self.runs[0].facts

    @property
    def problem(self) -> Problem:
        """What is optimised, for how long."""
        return self.row.problem

    @property
    def is_best(self) -> bool:
        """Whether it is the best tuned baseline of its problem."""
        return self.row.is_best_baseline

    @property
    def is_learned(self) -> bool:
        """Whether its optimizer was meta-trained."""
        return not self.facts.is_baseline

    @cached_property
    def statuses(self) -> Counter[Status]:
        """How many of its runs have each status."""
        return Counter(run.result.status for run in self.runs)

    @property
    def status(self) -> Status:
        """One word for all its runs."""
        return next(status for status in _LOUDEST if self.statuses[status])

    @property
    def final_losses(self) -> list[float]:
        """Of every run that gave a result, infinite where it diverged."""
        return list(losses_by_seed(self.runs).values())

    @cached_property
    def reason(self) -> str:
        """Why not all of its runs have ended well; empty if they have."""
        parts = []
        total = len(self.runs)
        if count := self.statuses["failed"]:
            error = next((run.result.error for run in self.runs if run.result.error), None)
            parts.append(f"{_of(count, total)} failed: {error or 'no reason was kept'}")
        if count := self.statuses["diverged"]:
            steps = [run.result.first_bad_step for run in self.runs if run.result.first_bad_step is not None]
            where = f", the first at step {min(steps):,}" if steps else ""
            parts.append(f"{_of(count, total)} diverged{where}")
        if count := self.statuses["interrupted"]:
            parts.append(f"{_of(count, total)} interrupted: the command that ran it goes on from here")
        return "; ".join(parts)


def _of(count: int, total: int) -> str:
    return f"{count} of {total} seeds" if total > 1 else "it"


class Grouping:
    """Groups the runs of one experiment, and compares anew only the problems in which something happened."""

    def __init__(self) -> None:
        self._known: dict[Problem, tuple[object, tuple[SeedGroup, ...]]] = {}

    def groups(self, experiment: ExperimentInfo, runs: Sequence[RunInfo]) -> tuple[SeedGroup, ...]:
        """All groups, problem by problem; within one, measured ones by rank, then the search for rates."""
        by_problem: dict[Problem, list[RunInfo]] = {}
        for run in runs:
            by_problem.setdefault(problem_of(run.facts), []).append(run)
        found: list[SeedGroup] = []
        for problem in sorted(by_problem, key=problem_order):
            members = by_problem[problem]
            # A run's outcome is all that changes; NaN is one object, so equal to itself here.
            fingerprint = tuple((run.id, run.result.status, run.result.final_loss) for run in members)
            known = self._known.get(problem)
            if known is None or known[0] != fingerprint:
                known = (fingerprint, _compared(experiment, members))
                self._known[problem] = known
            found += known[1]
        return tuple(found)


def _compared(experiment: ExperimentInfo, runs: Sequence[RunInfo]) -> tuple[SeedGroup, ...]:
    """Groups of one problem."""
    members: dict[tuple[object, ...], list[RunInfo]] = {}
    for run in runs:
        f = run.facts
        key = (f.optimizer, f.phase, f.is_baseline, f.lr, _settings(f.config_json))
        members.setdefault(key, []).append(run)
    by_id = {min(run.id for run in group): group for group in members.values()}
    aliases = _aliases(by_id)
    id_of = {_row_key(group[0].facts, aliases[number]): number for number, group in by_id.items()}
    renamed = [_renamed(run, aliases[number]) for number, group in by_id.items() for run in group]
    rows = {
        id_of[row.optimizer, row.phase, row.learning_rate]: row for row in summarize(experiment, renamed).rows
    }
    # A search for learning rates is summarised alike, but compared with nothing.
    searches = [
        replace(run, facts=replace(run.facts, optimizer=str(number), phase="final", is_baseline=False))
        for number, group in by_id.items()
        for run in group
        if run.facts.phase not in REPORTED_PHASES
    ]
    searched = {int(row.optimizer): row for row in summarize(experiment, searches).rows}
    in_order = sorted(searched, key=lambda number: _search_order(by_id[number][0].facts, number))
    best_id = next((number for number, row in rows.items() if row.is_best_baseline), None)
    groups = []
    for number, row in [*rows.items(), *((number, searched[number]) for number in in_order)]:
        facts = by_id[number][0].facts
        named = replace(
            row,
            optimizer=facts.optimizer,
            phase=facts.phase,
            is_baseline=facts.is_baseline,
            rank=row.rank if number in rows else None,
        )
        seeds = tuple(sorted(by_id[number], key=lambda run: (run.facts.seed, run.id)))
        groups.append(SeedGroup(number, seeds, named, best_id))
    return tuple(groups)


def _row_key(facts: RunFacts, name: str) -> tuple[object, ...]:
    return name, facts.phase, facts.lr


def _aliases(by_id: dict[int, list[RunInfo]]) -> dict[int, str]:
    """A name for each group under which its row of the summary can be found again.

    That is its optimizer's name, but where groups differ in settings that no label shows: a learned optimizer whose
    weights were trained anew between two starts of the same benchmark.
    """
    seen = Counter(_row_key(group[0].facts, group[0].facts.optimizer) for group in by_id.values())
    return {
        number: name if seen[_row_key(group[0].facts, name)] == 1 else f"{name} #{number}"
        for number, group in by_id.items()
        for name in (group[0].facts.optimizer,)
    }


def _renamed(run: RunInfo, name: str) -> RunInfo:
    return run if run.facts.optimizer == name else replace(run, facts=replace(run.facts, optimizer=name))


def _search_order(facts: RunFacts, number: int) -> tuple[object, ...]:
    return facts.optimizer, facts.lr or 0.0, number


@lru_cache(maxsize=1 << 16)
def _settings(config_json: str) -> str:
    """Everything that identifies a run but its seed; runs that differ in it are never averaged."""
    try:
        config = json.loads(config_json)
    except ValueError:
        return config_json
    if not isinstance(config, dict):
        return config_json
    return json.dumps({name: value for name, value in config.items() if name != "seed"}, sort_keys=True)


def problem_of(facts: RunFacts) -> Problem:
    """The problem that a run belongs to."""
    return Problem(facts.dataset, facts.horizon, facts.optimizee, facts.depth, facts.activation)


def problem_order(problem: Problem) -> tuple[object, ...]:
    """Sorts problems by what is optimised, then by depth and horizon."""
    return (
        problem.dataset or "",
        problem.optimizee,
        problem.activation or "",
        -1 if problem.depth is None else problem.depth,
        problem.horizon,
    )


def short_title(problem: Problem) -> str:
    """A problem in few words, as `rnnprop bench` names them: "mnist mlp sigmoid d2 x100"."""
    depth = "" if problem.depth is None else f"d{problem.depth}"
    parts = (problem.dataset or "", problem.optimizee, depth, f"x{problem.horizon}")
    return " ".join(part for part in parts if part)
