"""The weights that come with the package."""

from importlib.resources import files
from pathlib import Path

from rnnprop_cli.store.checkpoints import SUFFIX


def shipped_folder() -> Path:
    """Where the package keeps its weights."""
    return Path(str(files("rnnprop_cli"))) / "weights"


def shipped_names() -> list[str]:
    """Names of the weights that come with the package."""
    return sorted(path.name.removesuffix(SUFFIX) for path in shipped_folder().glob(f"*{SUFFIX}"))
