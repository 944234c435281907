"""Runs that differ only in their seed, as one thing: one row of a table, one line of a plot."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from rnnprop_cli.records import RunFacts, RunInfo, Status
from rnnprop_cli.view.table.rows import Problem, SummaryRow
from rnnprop_cli.view.table.run_losses import losses_by_seed

# What a group is said to be when its runs differ: the first of these that one of them is.
_LOUDEST: tuple[Status, ...] = ("running", "failed", "diverged", "interrupted", "queued", "done")


@dataclass(frozen=True, eq=False)
class SeedGroup:
    """Runs of one optimizer at one learning rate on one problem in one phase. `grouping` forms them."""

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
        return not self.row.is_baseline

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


@dataclass(frozen=True)
class Summary:
    """A benchmark: its groups problem by problem, in each the measured ones, best first, then the search for rates."""

    bench: str
    groups: tuple[SeedGroup, ...]
    notes: tuple[str, ...] = ()  # on the whole of it: where its weights come from

    @property
    def rows(self) -> tuple[SummaryRow, ...]:
        """Of what was measured."""
        return tuple(group.row for group in self.groups if group.row.phase != "tuning")

    @property
    def problems(self) -> list[tuple[Problem, list[SummaryRow]]]:
        """Rows by problem."""
        return [(problem, list(rows)) for problem, rows in groupby(self.rows, lambda row: row.problem)]
