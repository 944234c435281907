"""Meta-training by meta-gradients: an update of Adam for every window of a trajectory.

Shape legend: Q meta-params.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnprop_cli.components.learned.network import NetworkRule
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizees.quadratic import Quadratic
from rnnprop_cli.components.optimizees.transforms import Combined, RandomScaling
from rnnprop_cli.components.optimizers.base import RuleState
from rnnprop_cli.errors import CheckpointError, DeviceLostError
from rnnprop_cli.execute.device import Engine, is_lost
from rnnprop_cli.execute.training import AVERAGE, Snapshot, Training
from rnnprop_cli.meta.draws import draw
from rnnprop_cli.meta.graphed import RecordedWindows
from rnnprop_cli.meta.meta_gradient import Estimator, estimator_for
from rnnprop_cli.meta.meta_step import MetaState, build_meta_optimizer, meta_iteration
from rnnprop_cli.seeds import derive_seed
from rnnprop_cli.spec.train import TrainSpec


class MetaTraining(Training):
    """Meta-training by meta-gradients; see `Training`."""

    def __init__(
        self,
        spec: TrainSpec,
        engine: Engine,
        snapshot: Snapshot | None = None,
        dataset_sha256: str | None = None,
    ) -> None:
        super().__init__(spec, engine, snapshot, dataset_sha256)
        self.tasks = spec.tasks
        # launches are what a window costs on CUDA; elsewhere there is nothing to record
        recorded = self.device.type == "cuda" and isinstance(self.rule, NetworkRule)
        self.estimators: list[Estimator] = [  # a recording is of one task
            RecordedWindows() if recorded else estimator_for(self.rule) for _ in self.tasks
        ]
        if snapshot is None:
            seed = derive_seed(spec.seed, "meta-params")
            meta_params_Q = self.rule.start(seed, self.dtype, self.device)
            optimizer = build_meta_optimizer(spec.meta_optimizer, meta_params_Q).init(meta_params_Q[None])
            self.state = MetaState(meta_params_Q, optimizer)
        else:
            self._restore(snapshot)

    def iterate(self) -> tuple[float, str | None]:
        """See `Training`.

        Raises:
            DeviceLostError: the GPU answers this process no more.
        """
        spec = self.spec
        drawn = draw(spec, self.meta_iteration)
        optimizee = self.draw_optimizee(self.meta_iteration)
        estimator = self.estimators[drawn.task]
        known = _recording_notice(estimator)
        try:
            self.state, loss = meta_iteration(
                spec, self.state, optimizee, self.rule, self.kernel, drawn, estimator
            )
            train_loss = float(loss)
        except RuntimeError as error:
            if is_lost(self.device):
                raise DeviceLostError(
                    f"the GPU stopped working for this process ({(str(error).splitlines() or [''])[0]}); "
                    f"train --resume {spec.name} goes on from the last checkpoint"
                ) from error
            raise
        notice = _recording_notice(estimator)
        return train_loss, None if notice == known else notice

    def validate(self) -> tuple[float, tuple[float, ...]]:
        """See `Training`; after the longest trajectories."""
        return self.task_set.validate(self.rule, self.state.meta_params_Q)

    def draw_optimizee(self, meta_iteration: int) -> Optimizee:
        """The optimizee of one meta-iteration: fresh data, theta_0, scaling factors and convex function."""
        spec = self.spec
        task = self.tasks[draw(spec, meta_iteration).task]
        seeds = [derive_seed(spec.seed, "meta", meta_iteration, number) for number in range(spec.meta_batch)]
        f: Optimizee = self.task_set.build(task, seeds)
        if spec.random_scaling is not None:
            f = RandomScaling(f, spec.random_scaling, seeds, "f")
        if spec.convex is None:
            return f
        g: Optimizee = Quadratic(spec.convex.dimension, seeds, self.dtype, self.device, spec.convex.clip)
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
        slots = (tensors["adam.m"][None].clone(), tensors["adam.v"][None].clone())
        count = sum(draw(self.spec, number).windows for number in range(snapshot.meta_iteration))
        self.state = MetaState(meta_params_Q, RuleState(count, slots))


def _recording_notice(estimator: Estimator) -> str | None:
    return estimator.notice if isinstance(estimator, RecordedWindows) else None


def _numpy(tensor: Tensor) -> NDArray[Any]:
    """A copy on the host."""
    value: NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return value
