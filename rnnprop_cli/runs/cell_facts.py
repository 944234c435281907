"""What identifies the cells of a benchmark here and now, and how they are recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rnnprop_cli.data.datasets import load_dataset
from rnnprop_cli.data.minibatches import check_epochs
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.plan.cells import Cell, Problem, cell_config
from rnnprop_cli.plan.identity import canonical_json
from rnnprop_cli.plan.lanes import Lane
from rnnprop_cli.records import LrSource, RunFacts
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.spec.optimizees import activation_of, dataset_of, depth_of
from rnnprop_cli.spec.optimizers import LearnedSpec, OptimizerSpec


@dataclass(frozen=True)
class CellFacts:
    """Everything besides the spec that the cells of a benchmark depend on."""

    engine: Engine
    environment: Mapping[str, str | int]  # of this machine and this program
    datasets: Mapping[str, str]  # name → hash
    weights: Mapping[str, Weights]

    @classmethod
    def gather(
        cls, lanes: list[Lane], engine: Engine, environment: Mapping[str, str | int], database: Path
    ) -> "CellFacts":
        """Finds the datasets and weights of all lanes.

        Raises:
            UsageError: unknown weights, or a dataset is smaller than a minibatch.
            DataError: a dataset is absent or damaged.
            CheckpointError: weights are damaged.
        """
        names = {name for lane in lanes if (name := dataset_of(lane.problem.optimizee))}
        datasets = {name: load_dataset(name, engine.data_dir) for name in sorted(names)}
        for lane in lanes:
            if name := dataset_of(lane.problem.optimizee):
                check_epochs(datasets[name], lane.problem.minibatch, lane.problem.sampling)
        wanted = {lane.optimizer.weights for lane in lanes if isinstance(lane.optimizer, LearnedSpec)}
        return cls(
            engine,
            environment,
            {name: dataset.sha256 for name, dataset in datasets.items()},
            {name: find_weights(name, database) for name in sorted(wanted)},
        )

    def dataset_sha256(self, problem: Problem) -> str | None:
        """The hash of the dataset of a problem; None where it has none."""
        name = dataset_of(problem.optimizee)
        return None if name is None else self.datasets[name]

    def weights_of(self, optimizer: OptimizerSpec) -> Weights | None:
        """The meta-params of a learned optimizer."""
        return self.weights[optimizer.weights] if isinstance(optimizer, LearnedSpec) else None

    def config(self, cell: Cell) -> dict[str, object]:
        """What the cell's content hash is taken over."""
        facts = dict(self.environment)
        sha256 = self.dataset_sha256(cell.problem)
        if sha256 is not None:
            facts["dataset_sha256"] = sha256
        weights = self.weights_of(cell.optimizer)
        if weights is not None:
            facts["weights_sha256"] = weights.tensors_sha256
        return cell_config(cell, facts)

    def run_facts(self, cell: Cell, key: str, config: dict[str, object]) -> RunFacts:
        """The cell as the store records it."""
        optimizee = cell.problem.optimizee
        weights = self.weights_of(cell.optimizer)
        return RunFacts(
            key=key,
            phase=cell.phase,
            optimizer=cell.optimizer.name,
            is_baseline=weights is None,
            optimizee=optimizee.label,
            dataset=dataset_of(optimizee),
            depth=depth_of(optimizee),
            activation=activation_of(optimizee),
            horizon=cell.problem.horizon,
            lr=weights.architecture.alpha if cell.lr is None and weights is not None else cell.lr,
            lr_source=_lr_source(cell),
            seed=cell.seed,
            config_json=canonical_json(config),
            device=self.engine.device,
            dtype=cell.problem.dtype,
            threads=self.engine.threads,
        )


def _lr_source(cell: Cell) -> LrSource:
    """Where the cell's learning rate comes from."""
    if isinstance(cell.optimizer, LearnedSpec):
        return "tuned" if cell.optimizer.lr == "tuned" else "own"
    if cell.phase == "default" or cell.optimizer.lr == "default":
        return "default"
    return "tuned" if cell.optimizer.lr == "tuned" else "given"
