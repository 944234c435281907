"""The two ways of running a matrix of cells that `matrix.py` compares."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from rnnprop_cli.components.datasets import Dataset, facts_of
from rnnprop_cli.components.minibatches import ImageMinibatches, SineMinibatches
from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.components.optimizees.conv import ConvSpec
from rnnprop_cli.components.optimizees.lstm import LSTMSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.quadratic import QuadraticSpec
from rnnprop_cli.components.optimizers.base import BaselineSpec
from rnnprop_cli.execute import bench
from rnnprop_cli.execute.bench import BatchDone, BatchJob, run_batch
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.plan.cells import CellBatch, Problem, split
from rnnprop_cli.plan.tuning import grid_rate

MakeOptimizer = Callable[[list[Tensor], float], torch.optim.Optimizer]
MINIBATCH = 128
MEMORY_MB = 2048  # the default of a benchmark's spec
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU}


class BatchedMatrix:
    """The whole matrix by `run_batch`, in the parts that fit; remembers how long the steps took."""

    def __init__(
        self,
        optimizee: OptimizeeSpec,
        spec: BaselineSpec,
        seeds: int,
        rates: int,
        steps: int,
        engine: Engine,
        dataset: Dataset | None,
    ) -> None:
        learning_rates = tuple(grid_rate(k) for k in range(4, 4 + rates))
        problem = Problem(optimizee, steps, MINIBATCH, "float32")
        batch = CellBatch(problem, spec, learning_rates, tuple(range(seeds)), "tuning")
        self.jobs = [
            BatchJob(part, tuple(str(cell) for cell in range(len(part))), None, engine, 1000)
            for part in split(batch, MEMORY_MB)
        ]
        self.dataset = dataset
        self.cells = len(batch)
        self.steps_s: list[float] = []

    def __call__(self) -> None:
        bench._dataset = lambda name, data_dir, sha256: self.dataset  # type: ignore[assignment]
        self.steps_s.append(sum(map(self._steps_of, self.jobs)))

    def _steps_of(self, job: BatchJob) -> float:
        start = time.perf_counter()
        steps_done = start
        for event in run_batch(job):
            if not isinstance(event, BatchDone):
                steps_done = time.perf_counter()
        return steps_done - start


class LoopedCells:
    """A few cells, one after the other, as one writes it in PyTorch; the first step of each is not counted."""

    def __init__(
        self,
        optimizee: OptimizeeSpec,
        make: MakeOptimizer,
        cells: int,
        steps: int,
        dataset: Dataset | None,
        device: torch.device,
    ) -> None:
        self.optimizee, self.make, self.cells, self.steps = optimizee, make, cells, steps
        self.dataset, self.device = dataset, device
        self.steps_s: list[float] = []

    def __call__(self) -> None:
        self.steps_s.append(sum(map(self._cell, range(self.cells))))

    def _cell(self, seed: int) -> float:
        model, loss = cell_module(self.optimizee, seed, self.dataset, self.device)
        optimizer = self.make(list(model.parameters()), 1e-3)
        start = time.perf_counter()
        for step in range(self.steps + 1):
            if step == 1:
                start = time.perf_counter()
            optimizer.zero_grad()
            loss(step).backward()
            optimizer.step()
        return time.perf_counter() - start


def cell_module(
    spec: OptimizeeSpec, seed: int, dataset: Dataset | None, device: torch.device
) -> tuple[nn.Module, Callable[[int], Tensor]]:
    """An optimizee as a module, and its loss on the minibatch of a step."""
    torch.manual_seed(seed)
    data: ImageMinibatches | SineMinibatches
    if isinstance(spec, QuadraticSpec):
        point = nn.ParameterList([torch.zeros(spec.dimension)]).to(device)
        target = torch.rand(spec.dimension, device=device) * 2 - 1
        return point, lambda step: (point[0] - target).square().clamp(max=10.0).mean()
    if isinstance(spec, LSTMSpec):
        data = SineMinibatches([seed], MINIBATCH, spec.noise, spec.length, device, torch.float32)
        model: nn.Module = Predictor(spec.hidden, spec.layers).to(device)
        criterion = mse_loss
    else:
        assert dataset is not None
        data = ImageMinibatches(dataset, [seed], MINIBATCH, device, torch.float32)
        layers = mlp_layers(spec) if isinstance(spec, MLPSpec) else conv_layers(spec)
        model = nn.Sequential(*layers).to(device)
        criterion = cross_entropy

    def loss(step: int) -> Tensor:
        minibatch = data.at(step)
        return criterion(model(minibatch.inputs_SMD[0]), minibatch.targets_SM[0])

    return model, loss


def mlp_layers(spec: MLPSpec) -> Iterator[nn.Module]:
    """Linear layers with activations between them."""
    widths = spec.widths
    for fan_in, fan_out in pairwise(widths[:-1]):
        yield nn.Linear(fan_in, fan_out)
        yield ACTIVATIONS[spec.activation]()
    yield nn.Linear(*widths[-2:])


def conv_layers(spec: ConvSpec) -> Iterator[nn.Module]:
    """The layout, letter by letter."""
    channels, height, width = facts_of(spec.dataset).shape
    yield nn.Unflatten(1, (channels, height, width))
    letters = spec.layout.split("-")
    filters, features = 16, 0
    for position, letter in enumerate(letters):
        if letter == "c":
            yield nn.Conv2d(channels, filters, 3, padding=1)
            yield nn.ReLU()
            channels = filters
        elif letter == "p":
            yield nn.MaxPool2d(2)
            height, width, filters = height // 2, width // 2, 2 * filters
        else:
            if not features:
                yield nn.Flatten()
                features = channels * height * width
            last = position == len(letters) - 1
            yield nn.Linear(features, facts_of(spec.dataset).outputs if last else filters)
            if not last:
                yield nn.ReLU()
            features = filters


class Predictor(nn.Module):
    """An LSTM whose last output is read linearly."""

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, layers, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, sequences: Tensor) -> Tensor:
        """[M] predictions for [M, T]."""
        outputs, _ = self.lstm(sequences[..., None])
        return self.out(outputs[:, -1])[:, 0]
