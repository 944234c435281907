"""rnnprop: meta-train learned optimizers and measure them honestly against tuned classical ones.

`RNNprop`, `DMOptimizer` and `LearnedOptimizer` are `torch.optim.Optimizer`s; they are loaded when they are asked for,
since the command line must answer without PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnprop_cli.torch_optim import DMOptimizer, LearnedOptimizer, RNNprop

__version__ = "0.1.0"
__all__ = ["DMOptimizer", "LearnedOptimizer", "RNNprop", "__version__"]


DEFAULT_DB = "results/rnnprop.db"  # of all runs
DATABASE_VARIABLE = "RNNPROP_DB"  # names another one


def __getattr__(name: str) -> object:
    if name in ("DMOptimizer", "LearnedOptimizer", "RNNprop"):
        return getattr(import_module("rnnprop_cli.torch_optim"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
