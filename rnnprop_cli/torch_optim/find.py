"""The weights that an optimizer is made with."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from rnnprop_cli import DATABASE_VARIABLE, DEFAULT_DB
from rnnprop_cli.components.learned.law import BASE, LAW, AdamBaseSpec, LawSpec
from rnnprop_cli.errors import UsageError
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.files.variables import path_variable
from rnnprop_cli.runs.shipped_weights import shipped_names
from rnnprop_cli.runs.weights import find_weights

CLASSES: Final = {
    "rnnprop": "RNNprop",
    "dm": "DMOptimizer",
    "mixture": "Mixture",
}  # by kind of the architecture


def weights_for(kind: str, weights: str | Path | Weights | None, database: str | Path | None) -> Weights:
    """Weights of the kind, by name or as they are.

    Args:
        kind: of the architecture.
        weights: see `CoordinatewiseOptimizer`; None: those that come with the package under the name of the kind.
        database: where to look for meta-trainings; None: where the command line would, for names that no shipped
            weights have, so that what a name of these means does not depend on the folder that a program is run in.

    Raises:
        UsageError: there is no such database or no such weights, or they are of another kind.
        CheckpointError: they are damaged.
    """
    found = found_weights(kind if weights is None else weights, database)
    architecture = found.architecture
    own = architecture.base.kind if isinstance(architecture, LawSpec) else architecture.kind
    if own != kind:
        theirs = CLASSES.get(own, "LearnedOptimizer")
        raise UsageError(
            f"{found.source}: are weights of {theirs}, not of {CLASSES[kind]}; use {theirs}(..., weights=...)"
        )
    return found


def direction(weights: Weights) -> Weights:
    """The weights without their horizon law, where they have one."""
    architecture = weights.architecture
    if not isinstance(architecture, LawSpec) or isinstance(architecture.base, AdamBaseSpec):
        return weights
    inner = {name.removeprefix(BASE): value for name, value in weights.tensors.items() if name != LAW}
    return replace(weights, architecture=architecture.base, tensors=inner)


def found_weights(weights: str | Path | Weights, database: str | Path | None) -> Weights:
    """Weights of any kind, by name or as they are; raises as `weights_for`."""
    if database is not None and not Path(database).expanduser().exists():
        raise UsageError(f"database={str(database)!r}: there is no such file")
    if isinstance(weights, Weights):
        return weights
    return find_weights(str(weights), _database(str(weights), database), must_be_finished=True)


def _database(name: str, given: str | Path | None) -> Path | None:
    if given is not None:
        return Path(given)
    return None if name in shipped_names() else path_variable(DATABASE_VARIABLE) or Path(DEFAULT_DB)
