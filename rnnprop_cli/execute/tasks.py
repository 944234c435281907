"""The tasks of a meta-training on one engine: optimizees to train on, and how well an optimizer does on fresh ones.

Shape legend: C cells, P coordinates, Q meta-params.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.accelerate.optimizers import build_learned
from rnnprop_cli.components.datasets import load_dataset
from rnnprop_cli.components.datasets.base import check_unchanged
from rnnprop_cli.components.learned.base import Architecture
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizers.base import Given, Optimizer
from rnnprop_cli.execute.device import DTYPES, Engine
from rnnprop_cli.execute.recorded_steps import Steps
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.seeds import FIRST_VALIDATION_SEED
from rnnprop_cli.spec.tasks import Task
from rnnprop_cli.spec.train import TrainSpec


class TaskSet:
    """What a meta-training trains on.

    Args:
        spec: the recipe.
        engine: where to run.
        kernel: computes networks and optimizees.
        dataset_sha256: what its dataset must be; None: whatever is there.

    Raises:
        DataError: the dataset is absent or another one.
    """

    def __init__(self, spec: TrainSpec, engine: Engine, kernel: Kernel, dataset_sha256: str | None) -> None:
        self.spec, self.kernel = spec, kernel
        self.device, self.dtype = engine.torch_device, DTYPES[spec.dtype]
        names = {name for task in spec.tasks if (name := task.optimizee.dataset_name) is not None}
        self.datasets = {name: load_dataset(name, engine.data_dir) for name in sorted(names)}
        check_unchanged(self.datasets.values(), dataset_sha256)

    def build(self, task: Task, seeds: Sequence[int]) -> Optimizee:
        """An optimizee with fresh data and theta_0 for every seed."""
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

    def validate(self, rule: Architecture, meta_params_Q: Tensor) -> tuple[float, tuple[float, ...]]:
        """Mean final loss on the unscaled optimizees, on seeds that meta-training never sees.

        Returns:
            The loss, of several tasks the geometric mean; and those of the tasks, where there are several.
        """
        losses = tuple(self._validated(task, rule, meta_params_Q) for task in self.spec.tasks)
        return (losses[0], ()) if len(losses) == 1 else (geometric_mean(losses), losses)

    def _validated(self, task: Task, rule: Architecture, meta_params_Q: Tensor) -> float:
        spec = self.spec
        seeds = [FIRST_VALIDATION_SEED + index for index in range(spec.validation.seeds)]
        optimizee = self.build(task, seeds)
        alpha_C = torch.full((len(seeds),), spec.optimizer.alpha, dtype=self.dtype, device=self.device)
        given = Given(alpha_C, task.longest, optimizee.shapes, fan_ins=optimizee.fan_ins)
        optimizer = build_learned(rule, meta_params_Q, given, self.kernel)
        params_CP = trained(optimizee, optimizer, optimizee.init_params(), task.longest)
        return float(optimizee.mean_loss(params_CP, task.longest).mean())


def trained(optimizee: Optimizee, optimizer: Optimizer[Any], params_CP: Tensor, steps: int) -> Tensor:
    """[C, P] the params after so many steps; those that are given are overwritten."""
    for _ in Steps(optimizee, optimizer, params_CP).take(steps):
        pass
    return params_CP


def geometric_mean(losses: Sequence[float]) -> float:
    """The exponential of the mean logarithm; NaN where a loss is not positive."""
    if not all(loss > 0 for loss in losses):
        return float("nan")
    return math.exp(sum(map(math.log, losses)) / len(losses))
