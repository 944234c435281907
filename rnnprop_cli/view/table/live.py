"""The groups of a benchmark that is still running, made anew only where something happened."""

from collections.abc import Sequence

from rnnprop_cli.records import ExperimentInfo, RunInfo
from rnnprop_cli.view.table.grouping import by_problem
from rnnprop_cli.view.table.rows import Problem
from rnnprop_cli.view.table.seed_groups import SeedGroup
from rnnprop_cli.view.table.summary import judged


class LiveGroups:
    """Groups the runs of one experiment, and compares anew only the problems in which something happened."""

    def __init__(self) -> None:
        self._known: dict[Problem, tuple[object, tuple[SeedGroup, ...]]] = {}

    def groups(self, experiment: ExperimentInfo, runs: Sequence[RunInfo]) -> tuple[SeedGroup, ...]:
        """All groups, problem by problem; within one, measured ones by rank, then the search for rates."""
        problems = by_problem(runs)
        found: list[SeedGroup] = []
        for problem in sorted(problems, key=lambda problem: problem.order):
            members = problems[problem]
            # A run's outcome is all that changes; NaN is one object, so equal to itself here.
            fingerprint = tuple((run.id, run.result.status, run.result.final_loss) for run in members)
            known = self._known.get(problem)
            if known is None or known[0] != fingerprint:
                known = (fingerprint, judged(experiment, members))
                self._known[problem] = known
            found += known[1]
        return tuple(found)
