"""The weights that an optimizer is made with."""

from pathlib import Path
from typing import Final

from rnnprop_cli import DATABASE_VARIABLE, DEFAULT_DB
from rnnprop_cli.errors import UsageError
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.files.variables import path_variable
from rnnprop_cli.runs.shipped_weights import shipped_names
from rnnprop_cli.runs.weights import find_weights

CLASSES: Final = {"rnnprop": "RNNprop", "dm": "DMOptimizer"}  # by kind of the architecture


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
    if found.architecture.kind != kind:
        theirs = CLASSES.get(found.architecture.kind, "LearnedOptimizer")
        raise UsageError(
            f"{found.source}: are weights of {theirs}, not of {CLASSES[kind]}; use {theirs}(..., weights=...)"
        )
    return found


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
