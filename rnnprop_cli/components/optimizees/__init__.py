"""The functions that are optimised: one file each, and what several of them share.

A file holds a model of the settings (an `OptimizeeSpec`) and the function itself, batched over cells.
"""

from typing import TYPE_CHECKING

from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.components.registry import find, union

OPTIMIZEES = find(__name__, OptimizeeSpec)

if TYPE_CHECKING:
    AnyOptimizee = OptimizeeSpec
else:
    AnyOptimizee = union(__name__, OptimizeeSpec)
