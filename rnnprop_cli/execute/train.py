"""Runs a meta-training: a generator of measurements and snapshots.

Everything random is a pure function of (seed, meta-iteration, task), so a `Snapshot` holds all that is needed to go on:
meta-params, Adam's moments and the moving average.

Shape legend: Q meta-params.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnprop_cli.data.datasets import Dataset, check_unchanged, load_dataset
from rnnprop_cli.errors import CheckpointError, DeviceLostError
from rnnprop_cli.execute.device import DTYPES, Engine, is_lost
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.select import select_kernel
from rnnprop_cli.meta.graphed import RecordedWindows
from rnnprop_cli.meta.meta_gradient import Estimator, known_output_gradient
from rnnprop_cli.meta.meta_step import MetaState, build_meta_optimizer, meta_iteration
from rnnprop_cli.optimizees.base import Optimizee
from rnnprop_cli.optimizees.build import build_optimizee
from rnnprop_cli.optimizees.quadratic import Quadratic
from rnnprop_cli.optimizees.transforms import Combined, RandomScaling
from rnnprop_cli.optimizers.baselines import RuleState
from rnnprop_cli.optimizers.build import build_learned_rule
from rnnprop_cli.optimizers.learned import Learned, LearnedRule, init_meta_params
from rnnprop_cli.plan.seeds import FIRST_VALIDATION_SEED, derive_seed
from rnnprop_cli.records import MetaStepResult
from rnnprop_cli.spec.optimizees import dataset_of
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

    Raises:
        DataError: the dataset is absent or another one.
    """

    def __init__(
        self,
        spec: TrainSpec,
        engine: Engine,
        snapshot: Snapshot | None = None,
        dataset_sha256: str | None = None,
    ) -> None:
        self.spec = spec
        self.device = engine.torch_device
        self.dtype = DTYPES[spec.dtype]
        self.rule: LearnedRule = build_learned_rule(spec.optimizer)
        self.kernel: Kernel
        self.kernel, self.kernel_notice = select_kernel(engine.kernel, self.device, self.dtype)
        # launches are what a window costs on CUDA; elsewhere there is nothing to record
        self.estimator: Estimator = RecordedWindows() if self.device.type == "cuda" else known_output_gradient
        name = dataset_of(spec.optimizee)
        self.dataset: Dataset | None = None if name is None else load_dataset(name, engine.data_dir)
        check_unchanged(self.dataset, dataset_sha256)
        if snapshot is None:
            self.meta_iteration = 0
            self.average = MovingAverage()
            seed = derive_seed(spec.seed, "meta-params")
            meta_params_Q = init_meta_params(self.rule.network, seed, self.dtype, self.device)
            optimizer = build_meta_optimizer(spec.meta_optimizer, meta_params_Q).init(meta_params_Q[None])
            self.state = MetaState(meta_params_Q, optimizer)
        else:
            self._restore(snapshot)

    def run(self) -> Iterator[TrainEvent]:
        """Meta-iterations until the spec's number is done.

        Raises:
            DeviceLostError: the GPU answers this process no more.
        """
        spec = self.spec
        while self.meta_iteration < spec.meta_iterations:
            started = time.monotonic()
            optimizee = self.draw_optimizee(self.meta_iteration)
            known = self._recording_notice
            try:
                self.state, loss = meta_iteration(
                    spec, self.state, optimizee, self.rule, self.kernel, self.estimator
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
            average = self.average.add(train_loss)
            elapsed_s = time.monotonic() - started
            done = self.meta_iteration == spec.meta_iterations
            kept = self.meta_iteration % spec.checkpoint.every == 0
            validation_loss = None
            if done or kept or self.meta_iteration % spec.validation.every == 0:
                validation_loss = self.validate()
            result = MetaStepResult(self.meta_iteration, train_loss, average, elapsed_s, validation_loss)
            due = done or kept or self.meta_iteration % spec.checkpoint.rolling == 0
            notice = None if self._recording_notice == known else self._recording_notice
            yield TrainEvent(result, self.snapshot(validation_loss) if due else None, notice)

    @property
    def _recording_notice(self) -> str | None:
        return self.estimator.notice if isinstance(self.estimator, RecordedWindows) else None

    def draw_optimizee(self, meta_iteration: int) -> Optimizee:
        """The optimizee of one meta-iteration: fresh data, theta_0, scaling factors and convex function."""
        spec = self.spec
        seeds = [derive_seed(spec.seed, "meta", meta_iteration, task) for task in range(spec.meta_batch)]
        f: Optimizee = self._build(seeds)
        if spec.random_scaling is not None:
            f = RandomScaling(f, spec.random_scaling, seeds, "f")
        if spec.convex is None:
            return f
        g: Optimizee = Quadratic(spec.convex.dimension, seeds, self.dtype, self.device, spec.convex.clip)
        if spec.convex.scaling:
            g = RandomScaling(g, spec.convex.scaling, seeds, "g")
        return Combined(f, g)

    def validate(self) -> float:
        """Mean final loss on the unscaled optimizee, on seeds that meta-training never sees."""
        spec = self.spec
        seeds = [FIRST_VALIDATION_SEED + index for index in range(spec.validation.seeds)]
        optimizee = self._build(seeds)
        alpha_C = torch.full((len(seeds),), spec.optimizer.alpha, dtype=self.dtype, device=self.device)
        optimizer = Learned(self.rule, self.state.meta_params_Q, alpha_C, self.kernel)
        params_CP = optimizee.init_params()
        state = optimizer.init(params_CP)
        for step in range(spec.truncation.horizon):
            _, grads_CP = optimizee.loss_and_grad(params_CP, step)
            state = optimizer.advance(grads_CP, state, params_CP)
        return float(optimizee.mean_loss(params_CP, spec.truncation.horizon).mean())

    def snapshot(self, validation_loss: float | None = None) -> Snapshot:
        """All that is needed to go on from here."""
        named = self.rule.network.named(self.state.meta_params_Q)
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
        network = self.rule.network
        expected = dict(network.named_shapes()) | {
            "adam.m": (network.n_meta_params,),
            "adam.v": (network.n_meta_params,),
        }
        if {name: tuple(value.shape) for name, value in tensors.items()} != expected:
            raise CheckpointError("the checkpoint does not fit the optimizer of this spec")
        self.meta_iteration = snapshot.meta_iteration
        total, weight = snapshot.tensors["average"].tolist()
        self.average = MovingAverage(total, weight)
        meta_params_Q = network.flatten(tensors)
        slots = (tensors["adam.m"][None].clone(), tensors["adam.v"][None].clone())
        count = snapshot.meta_iteration * self.spec.truncation.windows
        self.state = MetaState(meta_params_Q, RuleState(count, slots))

    def _build(self, seeds: list[int]) -> Optimizee:
        spec = self.spec
        return build_optimizee(
            spec.optimizee,
            self.dataset,
            seeds,
            spec.minibatch,
            self.dtype,
            self.device,
            self.kernel.passes,
            spec.sampling,
        )


def _numpy(tensor: Tensor) -> NDArray[Any]:
    """A copy on the host."""
    value: NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return value
