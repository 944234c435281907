"""Gradients of optimizees with inputs of their own by the CPU body: convolutional networks, LSTMs.

Shape legend: S seeds, C cells, P coordinates, M minibatch, D numbers of an input, T points in time, O classes.
"""

import math
from typing import Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.cpu_interface import INT32, INT64
from rnnprop_cli.kernels.cpu_library import check, code_of, load_library, pointers
from rnnprop_cli.kernels.passes import ConvNet, Recurrence

# Channels lie in blocks of this size; only the last layer may be of another width.
CHANNEL_BLOCK: Final = 16
# Wider LSTMs are better off with a library's matrix products.
WIDEST_LSTM: Final = 64


class NetworkPasses:
    """The part of `FusedPasses` that is about networks with inputs of their own."""

    def __init__(self) -> None:
        self._library = load_library()

    def fits(self, tensor: Tensor) -> bool:
        """See `FusedPasses`."""
        return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.is_contiguous()

    def conv_gradient(
        self, net: ConvNet, images_SMD: Tensor, targets_SM: Tensor, params_CP: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """See `FusedPasses`."""
        loss_C, grads_CP = params_CP.new_empty(len(params_CP)), torch.empty_like(params_CP)
        if targets_SM.shape != images_SMD.shape[:2]:
            raise ValueError(f"targets {tuple(targets_SM.shape)} for images {tuple(images_SMD.shape)}")
        targets_SM = targets_SM.to(torch.int64).contiguous()
        outputs = (targets_SM.data_ptr(), loss_C.data_ptr(), grads_CP.data_ptr(), None)
        return (loss_C, grads_CP) if self._conv(net, images_SMD, params_CP, *outputs) else None

    def conv_logits(self, net: ConvNet, images_SMD: Tensor, params_CP: Tensor) -> Tensor | None:
        """See `FusedPasses`."""
        logits_CMO = params_CP.new_empty(len(params_CP), images_SMD.shape[1], net.layers[-1][1])
        outputs = (None, None, None, logits_CMO.data_ptr())
        return logits_CMO if self._conv(net, images_SMD, params_CP, *outputs) else None

    def _conv(
        self,
        net: ConvNet,
        images_SMD: Tensor,
        params_CP: Tensor,
        targets: int | None,
        losses: int | None,
        grads: int | None,
        logits: int | None,
    ) -> bool:
        """Whether it was done."""
        if any(width % CHANNEL_BLOCK for _, width in net.layers[:-1]) or not self.fits(params_CP):
            return False
        n_cells, n_coordinates = params_CP.shape
        n_seeds, n_examples, n_inputs = images_SMD.shape
        if n_coordinates != net.n_coordinates or n_inputs != math.prod(net.picture) or n_cells % n_seeds:
            raise ValueError(
                f"{tuple(params_CP.shape)} params and {tuple(images_SMD.shape)} images for {net}"
            )
        images_SMD = images_SMD.to(torch.float32).contiguous()
        letters, widths = zip(*net.layers, strict=True)
        params, images = pointers(params_CP, images_SMD)
        check(
            self._library.rnnprop_conv(
                n_cells,
                n_seeds,
                n_examples,
                len(letters),
                (INT32 * len(letters))(*(code_of("layer", letter) for letter in letters)),
                (INT64 * len(widths))(*widths),
                (INT64 * len(net.picture))(*net.picture),
                torch.get_num_threads(),
                images,
                targets,
                params,
                losses,
                grads,
                logits,
            )
        )
        return True

    def lstm_gradient(
        self, recurrence: Recurrence, sequences_SMT: Tensor, targets_SM: Tensor, params_CP: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """See `FusedPasses`."""
        grads_CP = torch.empty_like(params_CP)
        loss_C = self._lstm(recurrence, sequences_SMT, targets_SM, params_CP, grads_CP)
        return None if loss_C is None else (loss_C, grads_CP)

    def lstm_loss(
        self, recurrence: Recurrence, sequences_SMT: Tensor, targets_SM: Tensor, params_CP: Tensor
    ) -> Tensor | None:
        """See `FusedPasses`."""
        return self._lstm(recurrence, sequences_SMT, targets_SM, params_CP, None)

    def _lstm(
        self,
        recurrence: Recurrence,
        sequences_SMT: Tensor,
        targets_SM: Tensor,
        params_CP: Tensor,
        grads_CP: Tensor | None,
    ) -> Tensor | None:
        if recurrence.hidden > WIDEST_LSTM or not self.fits(params_CP):
            return None
        n_cells, n_coordinates = params_CP.shape
        n_seeds, n_sequences, length = sequences_SMT.shape
        if n_coordinates != recurrence.n_coordinates or n_cells % n_seeds:
            raise ValueError(
                f"{tuple(params_CP.shape)} params and {tuple(sequences_SMT.shape)} sequences for {recurrence}"
            )
        if targets_SM.shape != (n_seeds, n_sequences):
            raise ValueError(f"targets {tuple(targets_SM.shape)} for sequences {tuple(sequences_SMT.shape)}")
        inputs = [tensor.to(torch.float32).contiguous() for tensor in (sequences_SMT, targets_SM)]
        loss_C = params_CP.new_empty(n_cells)
        check(
            self._library.rnnprop_lstm(
                n_cells,
                n_seeds,
                n_sequences,
                length,
                recurrence.layers,
                recurrence.hidden,
                torch.get_num_threads(),
                *pointers(*inputs, params_CP, loss_C),
                None if grads_CP is None else grads_CP.data_ptr(),
            )
        )
        return loss_C
