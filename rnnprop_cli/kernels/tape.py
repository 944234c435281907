"""What the steps of a window keep for its gradient, where a body would otherwise take them a second time.

Shape legend: N coordinates, T steps, L layers, E embedding width, H hidden units, G = 4H gates.
"""

from typing import NamedTuple

from torch import Tensor

from rnnprop_cli.kernels.network import Hidden, Network


class Kept(NamedTuple):
    """Where one step writes."""

    embedded_EN: Tensor
    hidden: Hidden  # the state after the step
    gates_LGN: Tensor
    output_N: Tensor


class Tape(NamedTuple):
    """Room for all steps of a window; contiguous."""

    embedded_TEN: Tensor
    h_SLHN: Tensor  # before every step and after the last one: S = T + 1
    c_SLHN: Tensor  # likewise
    gates_TLGN: Tensor
    outputs_TN: Tensor

    @classmethod
    def empty(cls, network: Network, steps: int, n: int, like: Tensor) -> "Tape":
        """Of n coordinates, in the dtype and on the device of `like`."""
        layers, hidden = network.layers, network.hidden
        states = (steps + 1, layers, hidden, n)
        return cls(
            like.new_empty(steps, network.embedding, n),
            like.new_empty(states),
            like.new_empty(states),
            like.new_empty(steps, layers, 4 * hidden, n),
            like.new_empty(steps, n),
        )

    @property
    def start(self) -> Hidden:
        """The state before the first step."""
        return Hidden(self.h_SLHN[0], self.c_SLHN[0])

    def at(self, step: int) -> Kept:
        """Where a step writes, 0 being the first."""
        after = Hidden(self.h_SLHN[step + 1], self.c_SLHN[step + 1])
        return Kept(self.embedded_TEN[step], after, self.gates_TLGN[step], self.outputs_TN[step])


def floats_per_coordinate(network: Network, steps: int) -> int:
    """Numbers that a tape holds of one coordinate."""
    states = 2 * network.layers * network.hidden
    return steps * (network.embedding + 4 * network.layers * network.hidden + 1) + (steps + 1) * states
