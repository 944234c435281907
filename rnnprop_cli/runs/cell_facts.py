"""What identifies the cells of a benchmark here and now, and how they are recorded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rnnprop_cli.components.datasets import Dataset, load_dataset, sources
from rnnprop_cli.components.learned.law import LawSpec
from rnnprop_cli.components.learned.outside import OutsideSpec
from rnnprop_cli.components.minibatches import check_epochs
from rnnprop_cli.components.optimizees.base import Given
from rnnprop_cli.components.optimizers.base import OptimizerSpec
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.components.plugins import IDENTITY
from rnnprop_cli.execute.device import DTYPES, Engine
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.plan.cells import Cell, Problem, cell_config
from rnnprop_cli.plan.identity import canonical_json, content_hash
from rnnprop_cli.plan.lanes import Lane
from rnnprop_cli.records import LrSource, RunFacts
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.seeds import tuning_seeds


@dataclass(frozen=True)
class CellFacts:
    """Everything besides the spec that the cells of a benchmark depend on."""

    engine: Engine
    environment: Mapping[str, str | int]  # of this machine and this program
    datasets: Mapping[str, str]  # name → hash
    weights: Mapping[str, Weights]
    notices: tuple[str, ...] = ()  # of code from outside, for the user to read

    @classmethod
    def gather(
        cls, lanes: list[Lane], engine: Engine, environment: Mapping[str, str | int], database: Path
    ) -> "CellFacts":
        """Finds the datasets and weights of all lanes.

        Raises:
            UsageError: unknown weights, or a dataset is smaller than a minibatch; or code from outside is not allowed,
                or does not work.
            DataError: a dataset is absent or damaged.
            CheckpointError: weights are damaged.
        """
        names = {name for lane in lanes if (name := lane.problem.optimizee.dataset_name)}
        datasets = {name: load_dataset(name, engine.data_dir) for name in sorted(names)}
        for lane in lanes:
            if name := lane.problem.optimizee.dataset_name:
                check_epochs(datasets[name], lane.problem.minibatch, lane.problem.sampling)
        notices = tuple(_rehearsals(lanes, datasets, engine))
        wanted = {lane.optimizer.weights_name for lane in lanes if isinstance(lane.optimizer, LearnedSpec)}
        return cls(
            engine,
            environment,
            {name: dataset.sha256 for name, dataset in datasets.items()},
            {name: find_weights(name, database) for name in sorted(wanted)},
            notices,
        )

    def dataset_sha256(self, problem: Problem) -> str | None:
        """The hash of the dataset of a problem; None where it has none."""
        name = problem.optimizee.dataset_name
        return None if name is None else self.datasets[name]

    def weights_of(self, optimizer: OptimizerSpec) -> Weights | None:
        """The meta-params of a learned optimizer."""
        return self.weights[optimizer.weights_name] if isinstance(optimizer, LearnedSpec) else None

    def config(self, cell: Cell) -> dict[str, object]:
        """What the cell's content hash is taken over."""
        facts: dict[str, str | int | float | None] = dict(self.environment)
        optimizee = cell.problem.optimizee
        dataset = optimizee.dataset_name
        if (sha256 := self.dataset_sha256(cell.problem)) is not None:
            facts["dataset_sha256"] = sha256
        if dataset not in sources() and (dataset is not None or optimizee.chance_loss is not None):
            facts["chance_loss"] = optimizee.chance_loss  # elsewhere it follows from the dataset's name
        weights = self.weights_of(cell.optimizer)
        if weights is not None:
            facts["weights_sha256"] = weights.tensors_sha256
            # the same numbers mean something else in other code, and over another direction
            if isinstance(weights.architecture, OutsideSpec | LawSpec):
                told = weights.architecture.model_dump(mode="json", exclude={"alpha"}, context=IDENTITY)
                facts["architecture_sha256"] = content_hash(told)
        return cell_config(cell, facts)

    def run_facts(self, cell: Cell, key: str, config: dict[str, object]) -> RunFacts:
        """The cell as the store records it."""
        optimizee = cell.problem.optimizee
        weights = self.weights_of(cell.optimizer)
        return RunFacts(
            key=key,
            phase=cell.phase,
            optimizer=cell.optimizer.name,
            is_baseline=weights is None or weights.architecture.classical,
            optimizee=optimizee.label,
            dataset=optimizee.dataset_label,
            depth=optimizee.n_layers,
            activation=optimizee.nonlinearity,
            horizon=cell.problem.horizon,
            lr=weights.architecture.alpha if cell.lr is None and weights is not None else cell.lr,
            lr_source=_lr_source(cell),
            seed=cell.seed,
            config_json=canonical_json(config),
            device=self.engine.device,
            dtype=cell.problem.dtype,
            threads=self.engine.threads,
        )


def _rehearsals(lanes: list[Lane], datasets: Mapping[str, Dataset], engine: Engine) -> Iterator[str]:
    """Tries all code from outside, before anything is recorded; what somebody should read of it."""
    problems = {replace(lane.problem, horizon=1) for lane in lanes if lane.problem.optimizee.code is not None}
    for problem in sorted(problems, key=lambda each: each.optimizee.label):
        dataset = datasets.get(problem.optimizee.dataset_name or "")
        seeds = tuning_seeds(0, range(2))
        device, dtype = engine.torch_device, DTYPES[problem.dtype]
        given = Given(dataset, seeds, problem.minibatch, dtype, device, problem.sampling)
        if (notice := problem.optimizee.rehearse(given)) is not None:
            yield notice
    for optimizer in dict.fromkeys(lane.optimizer for lane in lanes if lane.optimizer.code is not None):
        if (notice := optimizer.rehearse()) is not None:
            yield notice


def _lr_source(cell: Cell) -> LrSource:
    """Where the cell's learning rate comes from."""
    if isinstance(cell.optimizer, LearnedSpec):
        return "tuned" if cell.optimizer.lr == "tuned" else "own"
    if cell.phase == "default" or cell.optimizer.lr == "default":
        return "default"
    return "tuned" if cell.optimizer.lr == "tuned" else "given"
