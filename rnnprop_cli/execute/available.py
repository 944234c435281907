"""Which engines can be used here. Light: asked before torch is loaded."""

from importlib.util import find_spec

from rnnprop_cli.errors import UsageError
from rnnprop_cli.execute import slurm_control


def missing(kind: str) -> str | None:
    """What an engine needs and is not here, with what installs it; None if all is here."""
    if kind == "ray" and find_spec("ray") is None:
        return "Ray is not installed: pip install 'rnnprop[ray]'"
    return slurm_control.missing() if kind == "slurm" else None


def require(kind: str) -> None:
    """Raises UsageError where an engine cannot be used here."""
    if (what := missing(kind)) is not None:
        raise UsageError(f"--engine {kind}: {what}.")
