"""How large a cell is: memory, by arithmetic alone."""

from typing import Final

from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.components.optimizers.base import OptimizerSpec

# Numbers held per coordinate: params, gradient, update, accumulators and temporaries ...
NUMBERS_PER_COORDINATE_CLASSICAL: Final = 10
# ... and for a learned optimizer of the usual size two states of 2 x 2 x 20, and the gates of one layer.
NUMBERS_PER_COORDINATE_LEARNED: Final = 420


def bytes_per_cell(optimizee: OptimizeeSpec, optimizer: OptimizerSpec, minibatch: int, dtype: str) -> int:
    """An estimate, on the high side, of the memory that one cell adds to its batch."""
    per_coordinate = NUMBERS_PER_COORDINATE_LEARNED if optimizer.learned else NUMBERS_PER_COORDINATE_CLASSICAL
    numbers = optimizee.n_coordinates * per_coordinate + minibatch * optimizee.numbers_per_example()
    return numbers * (8 if dtype == "float64" else 4)
