"""What identifies a meta-training, and whether it can be run at all."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from rnnprop_cli.components.datasets import load_dataset
from rnnprop_cli.components.datasets.base import recorded_sha256
from rnnprop_cli.components.learned.outside import OutsideSpec
from rnnprop_cli.components.minibatches import check_epochs
from rnnprop_cli.components.optimizees.base import Given
from rnnprop_cli.components.plugins import IDENTITY
from rnnprop_cli.execute.device import DTYPES, Engine
from rnnprop_cli.execute.evolve import check_evolution
from rnnprop_cli.execute.identity import identity_facts
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.meta.soundness import check_architecture
from rnnprop_cli.plan.identity import canonical_json, content_hash
from rnnprop_cli.records import RunFacts
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.spec.train import TrainSpec

Fact = TypeVar("Fact")


def train_environment(
    spec: TrainSpec, engine: Engine, start: Weights | None = None, *, ranks: bool = False
) -> dict[str, str | int]:
    """What the bits of a meta-training depend on besides its recipe.

    Args:
        spec: the recipe.
        engine: where it runs.
        start: the weights that it starts from, see `start_of`.
        ranks: whether ranks share its tasks; how many is all the same. With one task nothing is added up in another
            order then.

    Raises:
        DataError: the dataset is absent.
        UsageError: it is smaller than a minibatch.
    """
    environment = identity_facts(engine, spec.dtype)
    if ranks and spec.meta_batch > 1:
        environment["ranks"] = "any (--ranks N)"
    if spec.evolution is not None:
        environment |= {name: version(name) for name in ("cma", "numpy")}  # whose candidates these are
    if start is not None:
        environment["start_sha256"] = start.tensors_sha256
    hashes: dict[str, str] = {}
    for task in spec.tasks:
        name = task.optimizee.dataset_name
        dataset = None
        if name is not None:
            dataset = load_dataset(name, engine.data_dir)
            check_epochs(dataset, task.minibatch, spec.sampling)
            hashes[name] = dataset.sha256
        device, dtype = engine.torch_device, DTYPES[spec.dtype]
        task.optimizee.rehearse(Given(dataset, (0, 1), task.minibatch, dtype, device, spec.sampling))
    if (sha256 := recorded_sha256(hashes)) is not None:
        environment["dataset_sha256"] = sha256
    return environment


def start_of(spec: TrainSpec, database: Path) -> Weights | None:
    """The weights that a recipe starts from; None where it starts by itself.

    Raises:
        UsageError: nothing is called so.
        CheckpointError: they are damaged.
    """
    return find_weights(spec.start, database) if spec.start else None


def check_learned(spec: TrainSpec) -> None:
    """Whether what is to be trained can be.

    Raises:
        UsageError: its code is not allowed, or it has nothing of what is to be searched.
        CodeError: it cannot be trained.
    """
    check_evolution(spec)
    if isinstance(spec.optimizer, OutsideSpec):
        check_architecture(spec.optimizer.build(), spec.optimizer.source.source, spec.optimizer.alpha)


def run_config(spec: TrainSpec, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a meta-training's numbers depend on."""
    return {"spec": spec.model_dump(mode="json", context=IDENTITY), "environment": environment}


def run_facts(spec: TrainSpec, engine: Engine, environment: dict[str, str | int]) -> RunFacts:
    """What the store has of a meta-training before it is run."""
    config = run_config(spec, environment)
    return RunFacts(
        key=content_hash(config),
        phase="train",
        optimizer=spec.optimizer.name,
        is_baseline=False,
        optimizee=spec.trained_on,
        dataset=_shared(task.optimizee.dataset_label for task in spec.tasks),
        depth=_shared(task.optimizee.n_layers for task in spec.tasks),
        activation=_shared(task.optimizee.nonlinearity for task in spec.tasks),
        horizon=max(task.longest for task in spec.tasks),
        lr=spec.optimizer.alpha,
        lr_source="own",
        seed=spec.seed,
        config_json=canonical_json(config),
        device=engine.device,
        dtype=spec.dtype,
        threads=engine.threads,
    )


def _shared(facts: Iterable[Fact]) -> Fact | None:
    """What all tasks have in common; None where they differ."""
    found = set(facts)
    return found.pop() if len(found) == 1 else None
