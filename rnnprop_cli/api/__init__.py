"""The Python interface: results to read in a notebook, benchmarks and meta-trainings to start from a program.

`import rnnprop_cli as rnnprop` gives all of it. Nothing is loaded before it is asked for: PyTorch with `bench` and
`train`, pandas with `frame()`. Everything else gives plain values; what is shown are the numbers of `rnnprop report`.
"""

from rnnprop_cli.api.results import Results, open_results
from rnnprop_cli.api.start import bench, train
from rnnprop_cli.api.tables import Curves, Runs, Table

__all__ = ["Curves", "Results", "Runs", "Table", "bench", "open_results", "train"]
