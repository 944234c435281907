"""The weights that come with the package."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import TypeAdapter

from rnnprop_cli.components.learned import AnyArchitecture
from rnnprop_cli.components.learned.base import ArchitectureSpec
from rnnprop_cli.components.optimizers.base import OptimizerSpec
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.store.checkpoints import SUFFIX


def shipped_folder() -> Path:
    """Where the package keeps its weights."""
    return Path(str(files("rnnprop_cli"))) / "weights"


def shipped_names() -> list[str]:
    """Names of the weights that come with the package."""
    return sorted(path.name.removesuffix(SUFFIX) for path in shipped_folder().glob(f"*{SUFFIX}"))


def shipped_architecture(optimizer: OptimizerSpec) -> ArchitectureSpec | None:
    """Of the weights that an optimizer names, where they come with the package; None: others, or none at all."""
    return _architecture(optimizer.weights_name) if isinstance(optimizer, LearnedSpec) else None


@cache
def _architecture(name: str) -> ArchitectureSpec | None:
    path = shipped_folder() / f"{name}.json"
    if name not in shipped_names():
        return None
    described = json.loads(path.read_bytes())["metadata"]["optimizer"]
    found: ArchitectureSpec = TypeAdapter(AnyArchitecture).validate_python(described)
    return found
