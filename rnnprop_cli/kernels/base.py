"""The interface that computes with the network of a learned optimizer (`network.py`).

Shape legend: N coordinates (all cells side by side), F features, T inner steps of a window, Q meta-params.
"""

from typing import Protocol

from torch import Tensor

from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.passes import FusedPasses
from rnnprop_cli.kernels.tape import Kept, Tape


class Kernel(Protocol):
    """Computes with the network. All bodies agree within rounding; `reference` defines what is right."""

    name: str
    passes: FusedPasses | None  # None: what is around the network is left to PyTorch

    def step(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_FN: Tensor,
        hidden: Hidden,
        *,
        donate: bool = False,
        kept: Kept | None = None,
    ) -> tuple[Tensor, Hidden]:
        """One inner step, without a graph.

        Args:
            network: the architecture.
            meta_params_Q: [Q] flat meta-params.
            features_FN: [F, N] inputs of every coordinate.
            hidden: state before the step.
            donate: whether the buffers of `hidden` may be overwritten and returned as the new state.
            kept: a step's part of a tape of this body, which it fills; the new state is then the one in there.

        Returns:
            output_N: [N] tanh(x_out) if `network.bounded`, else x_out; and the state after the step.
        """
        ...

    def tape(self, network: Network, steps: int, params_CP: Tensor) -> Tape | None:
        """Room for what the steps of a window keep for its gradient; None where this body keeps nothing, or there is
        no room."""
        ...

    def window_gradient(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_TFN: Tensor,
        hidden: Hidden,
        output_grad_TN: Tensor,
        *,
        tape: Tape | None = None,
    ) -> Tensor:
        """Gradient of sum_{t,n} output_grad[t, n] * output[t, n] with respect to the meta-params.

        This is the whole backward pass of a window (backpropagation through time inside each coordinate),
        because the features are detached from the meta-params.

        Args:
            network: the architecture.
            meta_params_Q: [Q] flat meta-params.
            features_TFN: [T, F, N] inputs of every step of the window.
            hidden: state at the start of the window (not changed).
            output_grad_TN: [T, N] gradient of the meta-loss with respect to every output.
            tape: what the steps have kept, if they have; they are taken again else.

        Returns:
            [Q] meta-gradient.
        """
        ...
