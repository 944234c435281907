"""Runs a meta-training: a generator of measurements and snapshots.

Everything random is a pure function of (seed, meta-iteration, task), so a `Snapshot` holds all that is needed to go on:
meta-params, Adam's moments and the moving average.

Shape legend: Q meta-params.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.accelerate.optimizers import build_learned
from rnnprop_cli.components.datasets import load_dataset
from rnnprop_cli.components.datasets.base import check_unchanged
from rnnprop_cli.components.learned.base import SteppedOptimizer
from rnnprop_cli.components.learned.network import NetworkRule
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizees.quadratic import Quadratic
from rnnprop_cli.components.optimizees.transforms import Combined, RandomScaling
from rnnprop_cli.components.optimizers.base import Given, RuleState
from rnnprop_cli.errors import CheckpointError, DeviceLostError
from rnnprop_cli.execute.device import DTYPES, Engine, is_lost
from rnnprop_cli.execute.team import Team
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.meta.draws import draw
from rnnprop_cli.meta.graphed import RecordedWindows
from rnnprop_cli.meta.meta_gradient import Estimator, estimator_for
from rnnprop_cli.meta.meta_step import MetaState, build_meta_optimizer, meta_iteration
from rnnprop_cli.meta.task_by_task import TaskByTask
from rnnprop_cli.records import MetaStepResult
from rnnprop_cli.seeds import FIRST_VALIDATION_SEED, derive_seed
from rnnprop_cli.spec.tasks import Task
from rnnprop_cli.spec.train import TrainSpec

MOVING_AVERAGE_DECAY: Final = 0.9  # section 5: of the train losses, one per meta-iteration


@dataclass(frozen=True)
class Snapshot:
    """The whole state of a meta-training after `meta_iteration` meta-iterations. Plain values."""

    meta_iteration: int
    tensors: dict[str, NDArray[Any]]  # meta-params by name; "adam.m" and "adam.v" [Q]; "average" [2]
    moving_average: float
    validation_loss: float | None


@dataclass(frozen=True)
class TrainEvent:
    """What the generator yields after every meta-iteration."""

    result: MetaStepResult
    snapshot: Snapshot | None  # where one is due
    notice: str | None = None  # one line that somebody should read
    signal: int | None = None  # that another rank has received


class MovingAverage:
    """Exponential moving average without the bias towards its start."""

    def __init__(self, total: float = 0.0, weight: float = 0.0) -> None:
        self.total, self.weight = total, weight

    def add(self, value: float) -> float:
        """Takes one value in and returns the average."""
        self.total = MOVING_AVERAGE_DECAY * self.total + (1 - MOVING_AVERAGE_DECAY) * value
        self.weight = MOVING_AVERAGE_DECAY * self.weight + (1 - MOVING_AVERAGE_DECAY)
        return self.value

    @property
    def value(self) -> float:
        """The average; NaN before the first value."""
        return self.total / self.weight if self.weight else float("nan")


class MetaTraining:
    """One meta-training on one engine.

    Args:
        spec: the recipe.
        engine: where to run.
        snapshot: where to go on from; None to start.
        dataset_sha256: what its dataset must be; None: whatever is there.
        team: the ranks that share the tasks of the meta-batch, each computed alone; None: together, in this process.

    Raises:
        DataError: the dataset is absent or another one.
    """

    def __init__(
        self,
        spec: TrainSpec,
        engine: Engine,
        snapshot: Snapshot | None = None,
        dataset_sha256: str | None = None,
        team: Team | None = None,
    ) -> None:
        self.spec = spec
        self.team = team
        self.device = engine.torch_device
        self.dtype = DTYPES[spec.dtype]
        self.rule = spec.optimizer.build()
        self.kernel: Kernel
        self.kernel, self.kernel_notice = select_kernel(engine.kernel, self.device, self.dtype)
        self.tasks = spec.tasks
        # launches are what a window costs on CUDA; elsewhere there is nothing to record
        recorded = self.device.type == "cuda" and isinstance(self.rule, NetworkRule)
        self.estimators: list[Estimator] = [  # a recording is of one task
            RecordedWindows() if recorded else estimator_for(self.rule) for _ in self.tasks
        ]
        names = {name for task in self.tasks if (name := task.optimizee.dataset_name) is not None}
        self.datasets = {name: load_dataset(name, engine.data_dir) for name in sorted(names)}
        check_unchanged(self.datasets.values(), dataset_sha256)
        if snapshot is None:
            self.meta_iteration = 0
            self.average = MovingAverage()
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

    def run(self) -> Iterator[TrainEvent]:
        """Meta-iterations until the spec's number is done.

        Raises:
            DeviceLostError, RankLostError: see `advance`.
        """
        spec = self.spec
        while self.meta_iteration < spec.meta_iterations:
            heard = None if self.team is None else self.team.lead()
            started = time.monotonic()
            estimator = self.estimators[draw(spec, self.meta_iteration).task]
            known = _recording_notice(estimator)
            train_loss = self.advance()
            average = self.average.add(train_loss)
            elapsed_s = time.monotonic() - started
            done = self.meta_iteration == spec.meta_iterations
            kept = self.meta_iteration % spec.checkpoint.every == 0
            validation_loss: float | None = None
            task_losses: tuple[float, ...] = ()
            if done or kept or self.meta_iteration % spec.validation.every == 0:
                validation_loss, task_losses = self.validate()
            result = MetaStepResult(
                self.meta_iteration, train_loss, average, elapsed_s, validation_loss, task_losses
            )
            due = done or kept or self.meta_iteration % spec.checkpoint.rolling == 0
            notice = _recording_notice(estimator)
            yield TrainEvent(
                result,
                self.snapshot(validation_loss) if due else None,
                None if notice == known else notice,
                heard,
            )

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
                optimizee = self.draw_optimizee(number)
            else:
                optimizee, *later = (
                    self.draw_optimizee(number, (task,)) for task in self.team.mine(spec.meta_batch)
                )
                gather = partial(self.team.gather, tasks=spec.meta_batch)
                estimator = TaskByTask(estimator, later, gather)
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
        self.meta_iteration += 1
        return train_loss

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
        f: Optimizee = self._build(task, seeds)
        if spec.random_scaling is not None:
            f = RandomScaling(f, spec.random_scaling, seeds, "f")
        if spec.convex is None:
            return f
        g: Optimizee = Quadratic(spec.convex.dimension, seeds, self.dtype, self.device, spec.convex.clip)
        if spec.convex.scaling:
            g = RandomScaling(g, spec.convex.scaling, seeds, "g")
        return Combined(f, g)

    def validate(self) -> tuple[float, tuple[float, ...]]:
        """Mean final loss on the unscaled optimizees, on seeds that meta-training never sees.

        Returns:
            The loss, of several tasks the geometric mean; and those of the tasks, where there are several.
        """
        losses = tuple(self._validated(task) for task in self.tasks)
        return (losses[0], ()) if len(losses) == 1 else (geometric_mean(losses), losses)

    def _validated(self, task: Task) -> float:
        spec = self.spec
        seeds = [FIRST_VALIDATION_SEED + index for index in range(spec.validation.seeds)]
        optimizee = self._build(task, seeds)
        alpha_C = torch.full((len(seeds),), spec.optimizer.alpha, dtype=self.dtype, device=self.device)
        given = Given(alpha_C, task.longest, optimizee.shapes)
        optimizer = build_learned(self.rule, self.state.meta_params_Q, given, self.kernel)
        params_CP = optimizee.init_params()
        state = optimizer.init(params_CP)
        for step in range(task.longest):
            loss_C, grads_CP = optimizee.loss_and_grad(params_CP, step)
            if isinstance(optimizer, SteppedOptimizer):
                optimizer.loss_C = loss_C
            state = optimizer.advance(grads_CP, state, params_CP)
        return float(optimizee.mean_loss(params_CP, task.longest).mean())

    def snapshot(self, validation_loss: float | None = None) -> Snapshot:
        """All that is needed to go on from here."""
        named = self.rule.named(self.state.meta_params_Q)
        m_1Q, v_1Q = self.state.optimizer.slots_CP
        tensors = {name: _numpy(value) for name, value in named.items()}
        tensors |= {"adam.m": _numpy(m_1Q[0]), "adam.v": _numpy(v_1Q[0])}
        tensors["average"] = np.array([self.average.total, self.average.weight], dtype=np.float64)
        return Snapshot(self.meta_iteration, tensors, self.average.value, validation_loss)

    def _restore(self, snapshot: Snapshot) -> None:
        tensors = {
            name: torch.from_numpy(value).to(self.device)
            for name, value in snapshot.tensors.items()
            if name != "average"
        }
        size = (self.rule.n_meta_params,)
        expected = dict(self.rule.named_shapes()) | {"adam.m": size, "adam.v": size}
        if {name: tuple(value.shape) for name, value in tensors.items()} != expected:
            raise CheckpointError("the checkpoint does not fit the optimizer of this spec")
        total, weight = snapshot.tensors["average"].tolist()
        self.average = MovingAverage(total, weight)
        meta_params_Q = self.rule.flatten(tensors)
        self._set_state(snapshot.meta_iteration, meta_params_Q, tensors["adam.m"], tensors["adam.v"])

    def _set_state(self, meta_iteration: int, meta_params_Q: Tensor, m_Q: Tensor, v_Q: Tensor) -> None:
        self.meta_iteration = meta_iteration
        slots = (m_Q[None].clone(), v_Q[None].clone())
        count = sum(draw(self.spec, number).windows for number in range(meta_iteration))
        self.state = MetaState(meta_params_Q, RuleState(count, slots))

    def _build(self, task: Task, seeds: list[int]) -> Optimizee:
        name = task.optimizee.dataset_name
        return build_optimizee(
            task.optimizee,
            None if name is None else self.datasets[name],
            seeds,
            task.minibatch,
            self.dtype,
            self.device,
            self.kernel.passes,
            self.spec.sampling,
        )


def geometric_mean(losses: Sequence[float]) -> float:
    """The exponential of the mean logarithm; NaN where a loss is not positive."""
    if not all(loss > 0 for loss in losses):
        return float("nan")
    return math.exp(sum(map(math.log, losses)) / len(losses))


def _recording_notice(estimator: Estimator) -> str | None:
    return estimator.notice if isinstance(estimator, RecordedWindows) else None


def _numpy(tensor: Tensor) -> NDArray[Any]:
    """A copy on the host."""
    value: NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return value
