"""Performance profiles: how often an optimizer is within a factor of the best, over many problems.

For optimizer o and problem p with the final loss L(p, o), the median over seeds,

    r(p, o) = L(p, o) / min over o' of L(p, o'),    rho_o(tau) = share of the problems with r(p, o) <= tau

(Dolan & Moré 2002, equations 2.1 and 2.2). The median is infinite where half of the seeds diverged: failures count.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rnnprop_cli.view.table.problem_groups import group_order
from rnnprop_cli.view.table.rows import Problem, SummaryRow

FEWEST_PROBLEMS: Final = 3  # that a profile is made of; of two, the tables themselves tell more
FACTORS: Final = (1.0, 1.05, 1.1, 1.25, 1.5, 2.0)  # of the tables
ALL_PROBLEMS: Final = "all problems"


@dataclass(frozen=True)
class Profile:
    """One optimizer on a set of problems."""

    group: str
    optimizer: str
    is_baseline: bool
    ratios: tuple[float, ...]  # ascending, one for each problem; infinite where it failed or was not run

    def share_within(self, factor: float) -> float:
        """Share of the problems on which its final loss is within that factor of the best."""
        return sum(ratio <= factor for ratio in self.ratios) / len(self.ratios)


def profiles(rows: Sequence[SummaryRow]) -> list[Profile]:
    """Profiles over all problems, then over each group, best first; none over fewer than `FEWEST_PROBLEMS`.

    Untuned rows take no part. An optimizer that was not run on a problem is within no factor of the best there.
    """
    measured = [row for row in rows if row.phase == "final" and row.final.median.centre is not None]
    found = _profiles(ALL_PROBLEMS, measured)
    groups = sorted({row.group for row in measured}, key=group_order)
    if len(groups) > 1:
        for group in groups:
            found += _profiles(group, [row for row in measured if row.group == group])
    return found


def _profiles(group: str, rows: Sequence[SummaryRow]) -> list[Profile]:
    losses: dict[Problem, dict[str, float]] = {}
    baseline: dict[str, bool] = {}
    for row in rows:
        median = row.final.median.centre
        loss = math.inf if median is None else median
        of_problem = losses.setdefault(row.problem, {})
        of_problem[row.optimizer] = min(loss, of_problem.get(row.optimizer, math.inf))
        baseline[row.optimizer] = row.is_baseline
    best = {problem: min(of_problem.values()) for problem, of_problem in losses.items()}
    solved = {problem: loss for problem, loss in best.items() if loss < math.inf}
    if len(solved) < FEWEST_PROBLEMS:
        return []
    found = [
        Profile(
            group,
            optimizer,
            is_baseline,
            tuple(sorted(_ratio(losses[p].get(optimizer, math.inf), loss) for p, loss in solved.items())),
        )
        for optimizer, is_baseline in baseline.items()
    ]
    return sorted(found, key=lambda one: (*(-one.share_within(f) for f in FACTORS), one.optimizer))


def _ratio(loss: float, best: float) -> float:
    if loss == best:
        return 1.0
    return loss / best if best > 0 else math.inf  # a convex function can be solved exactly
