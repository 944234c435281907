"""The meta-gradient of a meta-batch as a sum over its tasks, each computed alone.

A batch of tasks that are computed together is one sum over all their coordinates, whose order depends on which tasks
there are. Computed alone and added in the order of their numbers, they give the same bits wherever each was computed.

Shape legend: B tasks, K tasks of this rank, Q meta-params.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.meta.meta_gradient import Estimator, WindowResult
from rnnprop_cli.meta.truncation import Span
from rnnprop_cli.meta.unroll import InnerProblem, Trajectory
from rnnprop_cli.numerics.trees import with_tensors

Gather = Callable[[Tensor], Tensor]


class TaskByTask:
    """An `Estimator` of one meta-iteration: the mean meta-gradient and the mean loss over all tasks.

    Args:
        estimator: of one task.
        later: this rank's optimizees after the first one, which is the problem's.
        gather: makes the rows of all tasks, [B, Q + 1] in the order of their numbers, of this rank's, [K, Q + 1].
    """

    def __init__(self, estimator: Estimator, later: Sequence[Optimizee], gather: Gather) -> None:
        self.estimator = estimator
        self.later = later
        self.gather = gather
        self._trajectories: list[Trajectory] = []

    def __call__(
        self, problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span
    ) -> WindowResult:
        """See `Estimator`. The trajectory is that of the first task; the others are kept here."""
        if span.first == 0:
            self._trajectories = [_start(problem, optimizee) for optimizee in self.later]
        rows, ends = [], []
        optimizees = [problem.optimizee, *self.later]
        for optimizee, start in zip(optimizees, [trajectory, *self._trajectories], strict=True):
            result = self.estimator(problem._replace(optimizee=optimizee), meta_params_Q, start, span)
            rows.append(torch.cat([result.meta_grad_Q, result.end_loss[None]]))
            # what a recorded window leaves, the next task's window overwrites
            ends.append(with_tensors(result.trajectory, Tensor.clone) if self.later else result.trajectory)
        first, *self._trajectories = ends
        mean = in_order(self.gather(torch.stack(rows)))
        return WindowResult(mean[:-1], mean[-1], first)


def _start(problem: InnerProblem, optimizee: Optimizee) -> Trajectory:
    params_CP = optimizee.init_params()
    return Trajectory(params_CP, problem.rule.init(params_CP, optimizee.shapes))


def in_order(rows: Tensor) -> Tensor:
    """The mean of the rows, added one after the other."""
    total = rows[0].clone()
    for row in rows[1:]:
        total += row
    return total / len(rows)
