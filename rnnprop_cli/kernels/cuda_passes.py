"""What the CUDA body does besides the network: RNNprop's whole step and the classical rules in one launch each,
gradients of perceptrons in two."""

from typing import Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.cuda_launch import BLOCK, LAUNCH, import_programs, steps_in_place, tiles
from rnnprop_cli.kernels.cuda_perceptrons import losses_and_gradient
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.passes import ConvNet, Perceptron, Recurrence, RelativeInputs, TensorSteps
from rnnprop_cli.kernels.tape import Kept

RULE_BLOCK: Final = 1024  # coordinates of a program of a classical rule
LARGEST_QUADRATIC: Final = 1024  # dimensions
RULES: Final = {
    "sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop inside", "rmsprop outside", "adam", "nadam",
}  # fmt: skip


class CudaPasses:
    """Implements `FusedPasses` for contiguous float32 tensors.

    Raises:
        DeviceError: from the constructor, where triton is not installed.
    """

    steps_tensors = False

    def __init__(self) -> None:
        self._network_programs = import_programs("cuda_kernels")
        self._rule_programs = import_programs("cuda_rules")
        self._perceptron_programs = import_programs("cuda_mlp")
        self._quadratic_programs = import_programs("cuda_quadratic")

    def fits(self, tensor: Tensor) -> bool:
        """See `FusedPasses`."""
        return tensor.dtype == torch.float32 and tensor.is_contiguous()

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
        n = params_CP.numel()
        if n == 0:
            return
        if kept is None:
            in_place = steps_in_place(network)
            new = Hidden(hidden.h_LHN if in_place else torch.empty_like(hidden.h_LHN), hidden.c_LHN)
            embedded_EN, gates, output = params_CP.new_empty(network.embedding, n), params_CP, params_CP
        else:
            embedded_EN, new, gates, output = kept
        if features_FN is None:
            features_FN = params_CP.new_empty(2, n)
        table = inputs.divisors_2
        with torch.cuda.device_of(params_CP):  # type: ignore[no-untyped-call]
            self._network_programs.relative_program[(-(-n // BLOCK),)](
                meta_params_Q.contiguous(), params_CP if table is None else table,
                1 - inputs.beta1**inputs.t, 1 - inputs.beta2**inputs.t,
                1 - inputs.beta1, inputs.beta2, 1 - inputs.beta2, inputs.eps,
                grads_CP, m_CP, v_CP, features_FN, embedded_EN,
                *hidden, *new, gates, output, rate_C, params_CP, params_CP.shape[1], n,
                FROM_TABLE=table is not None, E=network.embedding, H=network.hidden, LAYERS=network.layers,
                BOUNDED=network.bounded, KEEP=kept is not None, **tiles(), **LAUNCH,
            )  # fmt: skip
        if kept is None and new.h_LHN is not hidden.h_LHN:
            hidden.h_LHN.copy_(new.h_LHN)

    def relative_steps(
        self,
        network: Network,
        meta_params_Q: Tensor,
        beta1: float,
        beta2: float,
        eps: float,
        tensors: TensorSteps,
    ) -> None:
        """See `FusedPasses`: there is none, tensors are gathered and stepped together."""
        raise NotImplementedError("tensors are stepped together by relative_step on CUDA")

    def perceptron_gradient(
        self, perceptron: Perceptron, index_SM: Tensor, params_CP: Tensor, factor_SP: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """See `FusedPasses`."""
        found = losses_and_gradient(
            self._perceptron_programs, perceptron, index_SM, params_CP, factor_SP, gradient=True
        )
        if found is None or found[1] is None:
            return None
        return found[0], found[1]

    def quadratic_gradient(
        self, target_SP: Tensor, clip: float, params_CP: Tensor, factor_SP: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """See `FusedPasses`; of few dimensions, for a program takes a cell."""
        cells, dimension = params_CP.shape
        if dimension > LARGEST_QUADRATIC or params_CP.stride(1) != 1:
            return None
        loss_C, grads_CP = params_CP.new_empty(cells), params_CP.new_empty(cells, dimension)
        factors = target_SP if factor_SP is None else factor_SP.contiguous()
        with torch.cuda.device_of(params_CP):  # type: ignore[no-untyped-call]
            self._quadratic_programs.quadratic_program[(cells,)](
                params_CP, target_SP.contiguous(), factors, loss_C, grads_CP,
                params_CP.stride(0), cells // len(target_SP), dimension, clip,
                SCALED=factor_SP is not None, BLOCK=max(16, 1 << (dimension - 1).bit_length()), num_warps=1,
            )  # fmt: skip
        return loss_C, grads_CP

    def perceptron_loss(self, perceptron: Perceptron, index_SM: Tensor, params_CP: Tensor) -> Tensor | None:
        """See `FusedPasses`."""
        found = losses_and_gradient(
            self._perceptron_programs, perceptron, index_SM, params_CP, gradient=False
        )
        return None if found is None else found[0]

    def conv_gradient(
        self, net: ConvNet, images_SMD: Tensor, targets_SM: Tensor, params_CP: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """See `FusedPasses`: none, the library's convolutions do it."""
        return None

    def conv_logits(self, net: ConvNet, images_SMD: Tensor, params_CP: Tensor) -> Tensor | None:
        """See `FusedPasses`: none."""
        return None

    def lstm_gradient(
        self, recurrence: Recurrence, sequences_SMT: Tensor, targets_SM: Tensor, params_CP: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """See `FusedPasses`: none."""
        return None

    def lstm_loss(
        self, recurrence: Recurrence, sequences_SMT: Tensor, targets_SM: Tensor, params_CP: Tensor
    ) -> Tensor | None:
        """See `FusedPasses`: none."""
        return None

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
        numbers_K = torch.tensor((*coefficients, 1.0), dtype=torch.float32).to(params_CP.device)
        self.rule_step_by(rule, numbers_K, rate_C, grads_CP, slots_CP, params_CP)

    def rule_step_by(
        self,
        rule: str,
        numbers_K: Tensor,
        lr_C: Tensor,
        grads_CP: Tensor,
        slots_CP: tuple[Tensor, ...],
        params_CP: Tensor,
    ) -> None:
        """A rule's step whose coefficients, and behind them a factor of the rates, lie on the device."""
        a_CP, b_CP = (*slots_CP, params_CP, params_CP)[:2]
        cells, coordinates = params_CP.shape
        blocks = -(-coordinates // RULE_BLOCK)
        with torch.cuda.device_of(params_CP):  # type: ignore[no-untyped-call]
            self._rule_programs.rule_program[(cells * blocks,)](
                numbers_K, lr_C, grads_CP.contiguous(), a_CP, b_CP, params_CP, coordinates, blocks,
                RULE=rule, K=len(numbers_K) - 1, BLOCK=RULE_BLOCK, num_warps=4, enable_fp_fusion=True,
            )  # fmt: skip
