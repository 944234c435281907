"""Meta-training by meta-gradients: an update of Adam for every window of a trajectory.

Shape legend: Q meta-params.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnprop_cli.accelerate.optimizees import accelerated
from rnnprop_cli.components.learned.network import NetworkRule
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizees.quadratic import Quadratic
from rnnprop_cli.components.optimizees.transforms import Combined, RandomScaling
from rnnprop_cli.components.optimizers.base import RuleState
from rnnprop_cli.errors import CheckpointError, DeviceLostError
from rnnprop_cli.execute.device import Engine, is_lost
from rnnprop_cli.execute.team import Team
from rnnprop_cli.execute.training import AVERAGE, Snapshot, Training
from rnnprop_cli.meta.draws import draw
from rnnprop_cli.meta.graphed import CudaGraphs, RecordedWindows
from rnnprop_cli.meta.meta_gradient import Estimator, estimator_for
from rnnprop_cli.meta.meta_step import MetaState, build_meta_optimizer, meta_iteration
from rnnprop_cli.meta.task_by_task import TaskByTask
from rnnprop_cli.seeds import derive_seed
from rnnprop_cli.spec.train import TrainSpec


class MetaTraining(Training):
    """Meta-training by meta-gradients; see `Training`.

    Args:
        spec: the recipe.
        engine: where to run.
        snapshot: where to go on from; None to start.
        dataset_sha256: what its dataset must be; None: whatever is there.
        team: the ranks that share the tasks of the meta-batch, each computed alone; None: together, in this process.
    """

    def __init__(
        self,
        spec: TrainSpec,
        engine: Engine,
        snapshot: Snapshot | None = None,
        dataset_sha256: str | None = None,
        team: Team | None = None,
    ) -> None:
        super().__init__(spec, engine, snapshot, dataset_sha256)
        self.team = team
        self.tasks = spec.tasks
        # launches are what a window costs on CUDA; elsewhere there is nothing to record
        recorded = self.device.type == "cuda" and isinstance(self.rule, NetworkRule)
        record = CudaGraphs()  # one pool of memory for all recordings
        self.estimators: list[Estimator] = [  # a recording is of one task
            RecordedWindows(record) if recorded else estimator_for(self.rule) for _ in self.tasks
        ]
        self._ahead: dict[int, Optimizee] = {}  # drawn before its meta-iteration, which it is filed under
        if snapshot is None:
            seed = derive_seed(spec.seed, "meta-params")
            meta_params_Q = self.rule.start(seed, self.dtype, self.device)
            optimizer = build_meta_optimizer(spec.meta_optimizer, meta_params_Q).init(meta_params_Q[None])
            self.state = MetaState(meta_params_Q, optimizer)
        else:
            self._restore(snapshot)
        if team is not None:  # all begin with the first one's state
            m_1Q, v_1Q = self.state.optimizer.slots_CP
            state_3Q = team.of_the_first(torch.stack([self.state.meta_params_Q, m_1Q[0], v_1Q[0]]))
            self._set_state(int(team.of_the_first(torch.tensor(self.meta_iteration))), *state_3Q)

    def lead(self) -> int | None:
        """See `Training`: what the other ranks wait for."""
        return None if self.team is None else self.team.lead()

    def iterate(self) -> tuple[float, str | None]:
        """See `Training`.

        Raises:
            DeviceLostError, RankLostError: see `advance`.
        """
        estimator = self.estimators[draw(self.spec, self.meta_iteration).task]
        known = _recording_notice(estimator)
        train_loss = self.advance()
        notice = _recording_notice(estimator)
        return train_loss, None if notice == known else notice

    def validate(self) -> tuple[float, tuple[float, ...]]:
        """See `Training`; after the longest trajectories."""
        return self.task_set.validate(self.rule, self.state.meta_params_Q)

    def advance(self) -> float:
        """One meta-iteration, which all ranks take together; its train loss.

        Raises:
            DeviceLostError: the GPU answers this process no more.
            RankLostError: another rank has gone. The state is that before the meta-iteration.
        """
        spec, number = self.spec, self.meta_iteration
        drawn = draw(spec, number)
        estimator = self.estimators[drawn.task]
        try:
            if self.team is None:
                optimizee = self._ahead.pop(number, None) or self.draw_optimizee(number)
            else:
                optimizee, *later = (
                    self.draw_optimizee(number, (task,)) for task in self.team.mine(spec.meta_batch)
                )
                gather = partial(self.team.gather, tasks=spec.meta_batch)
                estimator = TaskByTask(estimator, later, gather)
            self.state, loss = meta_iteration(
                spec, self.state, optimizee, self.rule, self.kernel, drawn, estimator
            )
            if self.team is None and self.device.type == "cuda" and number + 1 < spec.meta_iterations:
                self._draw_ahead(number + 1)
            train_loss = float(loss)
        except RuntimeError as error:
            if is_lost(self.device):
                raise DeviceLostError(
                    f"the GPU stopped working for this process ({(str(error).splitlines() or [''])[0]}); "
                    f"train --resume {spec.name} goes on from the last checkpoint"
                ) from error
            raise
        self.meta_iteration += 1
        return train_loss

    def _draw_ahead(self, meta_iteration: int) -> None:
        """Draws an optimizee and its first minibatches while the device is still at work on another."""
        optimizee = self.draw_optimizee(meta_iteration)
        optimizee.tensors(0, 1)
        self._ahead = {meta_iteration: optimizee}

    def draw_optimizee(self, meta_iteration: int, numbers: Sequence[int] | None = None) -> Optimizee:
        """The optimizee of one meta-iteration: fresh data, theta_0, scaling factors and convex function.

        Args:
            meta_iteration: its number.
            numbers: the tasks of the meta-batch that it has as cells; None: all.
        """
        spec = self.spec
        task = self.tasks[draw(spec, meta_iteration).task]
        cells = range(spec.meta_batch) if numbers is None else numbers
        seeds = [derive_seed(spec.seed, "meta", meta_iteration, number) for number in cells]
        f: Optimizee = self.task_set.build(task, seeds)
        if spec.random_scaling is not None:
            f = RandomScaling(f, spec.random_scaling, seeds, "f")
        if spec.convex is None:
            return f
        g: Optimizee = Quadratic(spec.convex.dimension, seeds, self.dtype, self.device, spec.convex.clip)
        if self.kernel.passes is not None:
            g = accelerated(g, self.kernel.passes)
        if spec.convex.scaling:
            g = RandomScaling(g, spec.convex.scaling, seeds, "g")
        return Combined(f, g)

    def snapshot(self, validation_loss: float | None = None) -> Snapshot:
        """All that is needed to go on from here."""
        named = self.rule.named(self.state.meta_params_Q)
        m_1Q, v_1Q = self.state.optimizer.slots_CP
        tensors = {name: _numpy(value) for name, value in named.items()}
        tensors |= {"adam.m": _numpy(m_1Q[0]), "adam.v": _numpy(v_1Q[0])}
        tensors[AVERAGE] = self.average.kept
        return Snapshot(self.meta_iteration, tensors, self.average.value, validation_loss)

    def _restore(self, snapshot: Snapshot) -> None:
        tensors = {
            name: torch.from_numpy(value).to(self.device)
            for name, value in snapshot.tensors.items()
            if name != AVERAGE
        }
        size = (self.rule.n_meta_params,)
        expected = dict(self.rule.named_shapes()) | {"adam.m": size, "adam.v": size}
        if {name: tuple(value.shape) for name, value in tensors.items()} != expected:
            raise CheckpointError("the checkpoint does not fit the optimizer of this spec")
        meta_params_Q = self.rule.flatten(tensors)
        self._set_state(snapshot.meta_iteration, meta_params_Q, tensors["adam.m"], tensors["adam.v"])

    def _set_state(self, meta_iteration: int, meta_params_Q: Tensor, m_Q: Tensor, v_Q: Tensor) -> None:
        self.meta_iteration = meta_iteration
        slots = (m_Q[None].clone(), v_Q[None].clone())
        count = sum(draw(self.spec, number).windows for number in range(meta_iteration))
        self.state = MetaState(meta_params_Q, RuleState(count, slots))


def _recording_notice(estimator: Estimator) -> str | None:
    return estimator.notice if isinstance(estimator, RecordedWindows) else None


def _numpy(tensor: Tensor) -> NDArray[Any]:
    """A copy on the host."""
    value: NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return value
