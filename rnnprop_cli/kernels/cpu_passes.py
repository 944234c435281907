"""What the CPU body does besides the network: RNNprop's whole step, gradients of perceptrons, classical rules."""

import ctypes
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.cpu_interface import INT64, RelativeStep
from rnnprop_cli.kernels.cpu_library import check, code_of, pointers, sizes
from rnnprop_cli.kernels.cpu_networks import NetworkPasses
from rnnprop_cli.kernels.cpu_tensors import Packed, packed, step_tensors
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.passes import Perceptron, RelativeInputs, TensorSteps
from rnnprop_cli.kernels.tape import Kept

MAX_COEFFICIENTS: Final = 8
# Wider layers than this are better off with a library's matrix products.
WIDEST_LAYER: Final = 64


class CpuPasses(NetworkPasses):
    """Implements `FusedPasses` for contiguous float32 tensors on the CPU."""

    steps_tensors = True

    def __init__(self) -> None:
        super().__init__()
        self._last: Packed | None = None

    def relative_step(
        self,
        network: Network,
        meta_params_Q: Tensor,
        inputs: RelativeInputs,
        grads_CP: Tensor,
        m_CP: Tensor,
        v_CP: Tensor,
        hidden: Hidden,
        rate_C: Tensor,
        params_CP: Tensor,
        features_FN: Tensor | None,
        kept: Kept | None = None,
    ) -> None:
        """See `FusedPasses`."""
        n_cells, n_coordinates = params_CP.shape
        n = n_cells * n_coordinates
        state = (network.layers, network.hidden, n)
        self._check_shapes(params_CP.shape, grads_CP, m_CP, v_CP)
        self._check_shapes(torch.Size(state), *hidden)
        self._check_shapes(torch.Size((n_cells,)), rate_C)
        self._check_shapes(torch.Size((network.n_meta_params,)), meta_params_Q)
        if features_FN is not None:
            self._check_shapes(torch.Size((network.features, n)), features_FN)
        step = RelativeStep(
            *pointers(grads_CP, m_CP, v_CP),
            None if features_FN is None else features_FN.data_ptr(),
            *pointers(params_CP, rate_C),
            n_coordinates,
            1 - inputs.beta1,
            inputs.beta2,
            1 - inputs.beta2,
            1 / (1 - inputs.beta1**inputs.t),
            1 / (1 - inputs.beta2**inputs.t),
            inputs.eps,
        )
        h, c = pointers(*hidden)
        check(
            self._library.rnnprop_step(
                sizes(network),
                n,
                torch.get_num_threads(),
                meta_params_Q.data_ptr(),
                None,
                h,
                c,
                h,
                c,
                None,
                ctypes.byref(step),
            )
        )

    def relative_steps(
        self,
        network: Network,
        meta_params_Q: Tensor,
        beta1: float,
        beta2: float,
        eps: float,
        tensors: TensorSteps,
    ) -> None:
        """See `FusedPasses`."""
        self._check_shapes(torch.Size((network.n_meta_params,)), meta_params_Q)
        if tensors.params:
            self._last = packed(tensors, network.layers * network.hidden, self._last)
            step_tensors(self._library, network, meta_params_Q, self._last, (beta1, beta2, eps))

    def perceptron_gradient(
        self, perceptron: Perceptron, index_SM: Tensor, params_CP: Tensor, factor_SP: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """See `FusedPasses`; none with factors."""
        if factor_SP is not None:
            return None
        grads_CP = torch.empty_like(params_CP)
        loss_C = self._perceptron(perceptron, index_SM, params_CP, grads_CP)
        return None if loss_C is None else (loss_C, grads_CP)

    def quadratic_gradient(
        self, target_SP: Tensor, clip: float, params_CP: Tensor, factor_SP: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """See `FusedPasses`: none."""
        return None

    def perceptron_loss(self, perceptron: Perceptron, index_SM: Tensor, params_CP: Tensor) -> Tensor | None:
        """See `FusedPasses`."""
        return self._perceptron(perceptron, index_SM, params_CP, None)

    def _perceptron(
        self, perceptron: Perceptron, index_SM: Tensor, params_CP: Tensor, grads_CP: Tensor | None
    ) -> Tensor | None:
        widths = perceptron.widths
        if max(widths[1:]) > WIDEST_LAYER or not self.fits(params_CP):
            return None
        n_cells, n_coordinates = params_CP.shape
        n_seeds, n_examples = index_SM.shape
        if n_coordinates != sum((a + 1) * b for a, b in pairwise(widths)):
            raise ValueError(f"{n_coordinates} coordinates do not fit the widths {widths}")
        if n_cells % n_seeds or perceptron.pixels_ND.shape[1] != widths[0]:
            raise ValueError(f"{n_cells} cells on {n_seeds} seeds, images of {perceptron.pixels_ND.shape}")
        index_SM = index_SM.contiguous()
        loss_C = params_CP.new_empty(n_cells)
        check(
            self._library.rnnprop_mlp_gradient(
                n_cells,
                n_seeds,
                n_examples,
                len(widths) - 1,
                (INT64 * len(widths))(*widths),
                code_of("activation", perceptron.activation),
                torch.get_num_threads(),
                *pointers(perceptron.pixels_ND, index_SM, perceptron.labels_N),
                perceptron.scale,
                perceptron.shift,
                *pointers(params_CP, loss_C),
                None if grads_CP is None else grads_CP.data_ptr(),
            )
        )
        return loss_C

    def rule_step(
        self,
        rule: str,
        coefficients: tuple[float, ...],
        rate_C: Tensor,
        grads_CP: Tensor,
        slots_CP: tuple[Tensor, ...],
        params_CP: Tensor,
    ) -> None:
        """See `FusedPasses`."""
        self._check_shapes(params_CP.shape, params_CP, grads_CP, *slots_CP)
        self._check_shapes(params_CP.shape[:1], rate_C)
        first, second, *_ = *pointers(*slots_CP), None, None
        check(
            self._library.rnnprop_rule_step(
                code_of("rule", rule),
                *params_CP.shape,
                torch.get_num_threads(),
                (ctypes.c_float * MAX_COEFFICIENTS)(*coefficients),
                *pointers(rate_C, grads_CP),
                first,
                second,
                params_CP.data_ptr(),
            )
        )

    def _check_shapes(self, shape: torch.Size, *tensors: Tensor) -> None:
        """The C++ side reads raw pointers: a wrong tensor must not get there."""
        for tensor in tensors:
            if tensor.shape != shape or not self.fits(tensor):
                raise ValueError(
                    f"{tensor.dtype} of {tuple(tensor.shape)}, not contiguous float32 of {tuple(shape)}"
                )
