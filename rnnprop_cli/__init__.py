"""rnnprop: meta-train learned optimizers and measure them honestly against tuned classical ones.

    import rnnprop_cli as rnnprop

    results = rnnprop.open("results/rnnprop.db")      # read what was recorded; several databases are read as one
    results.summary("base_mlp").frame()               # as `rnnprop report`, in pandas
    rnnprop.bench("quickstart"); rnnprop.train("train_quick")
    rnnprop.RNNprop(model.parameters())               # a torch.optim.Optimizer, as DMOptimizer and LearnedOptimizer are

Everything is loaded when it is asked for, since the command line must answer without PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rnnprop_cli.api import Curves, Results, Runs, Table, bench, train
    from rnnprop_cli.api import open_results as open
    from rnnprop_cli.errors import RnnpropError
    from rnnprop_cli.torch_optim import DMOptimizer, LearnedOptimizer, Mixture, RNNprop

__version__ = "0.1.0"
__all__ = [
    "Curves",
    "DMOptimizer",
    "LearnedOptimizer",
    "Mixture",
    "RNNprop",
    "Results",
    "RnnpropError",
    "Runs",
    "Table",
    "__version__",
    "bench",
    "open",
    "train",
]


DEFAULT_DB = "results/rnnprop.db"  # of all runs
DATABASE_VARIABLE = "RNNPROP_DB"  # names another one

# Where each name is, and as what.
_PLACES: Final = {
    "DMOptimizer": ("rnnprop_cli.torch_optim", "DMOptimizer"),
    "LearnedOptimizer": ("rnnprop_cli.torch_optim", "LearnedOptimizer"),
    "Mixture": ("rnnprop_cli.torch_optim", "Mixture"),
    "RNNprop": ("rnnprop_cli.torch_optim", "RNNprop"),
    "RnnpropError": ("rnnprop_cli.errors", "RnnpropError"),
    "open": ("rnnprop_cli.api", "open_results"),
    **{name: ("rnnprop_cli.api", name) for name in ("Curves", "Results", "Runs", "Table", "bench", "train")},
}


def __getattr__(name: str) -> object:
    if name in _PLACES:
        module, there = _PLACES[name]
        return getattr(import_module(module), there)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
