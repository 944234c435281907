"""Learned optimizers without their meta-params: one file each.

A file holds a model of the settings (an `ArchitectureSpec`) and the optimizer itself (an `Architecture`).
"""

from typing import TYPE_CHECKING

from rnnprop_cli.components.learned.base import ArchitectureSpec
from rnnprop_cli.components.registry import find, union

ARCHITECTURES = find(__name__, ArchitectureSpec)

if TYPE_CHECKING:
    AnyArchitecture = ArchitectureSpec
else:
    AnyArchitecture = union(__name__, ArchitectureSpec)
