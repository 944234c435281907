"""The rows of a benchmark: classical rules, a file each, and learned optimizers by their weights."""

from typing import TYPE_CHECKING

from rnnprop_cli.components.optimizers.base import OptimizerSpec
from rnnprop_cli.components.registry import find, union

OPTIMIZERS = find(__name__, OptimizerSpec)

if TYPE_CHECKING:
    AnyOptimizer = OptimizerSpec
else:
    AnyOptimizer = union(__name__, OptimizerSpec)
