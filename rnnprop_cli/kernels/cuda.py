"""The CUDA body: Triton programs, in float32.

Importing this module needs no triton; making a `CudaKernel` does. Nothing waits for the device, so that all methods
can be captured in a CUDA graph. Sums are taken in a fixed order: the same inputs give the same bits.

A step is one launch. The gradient of a window is two launches a layer and two more, where its steps have kept a tape
(some 1,000 bytes a coordinate and step, 2 layers of 20); without one it takes the steps again, and long lists of
coordinates in stretches.
"""

from typing import Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.cuda_launch import BLOCK, LAUNCH, import_programs, steps_in_place, tiles
from rnnprop_cli.kernels.cuda_passes import CudaPasses
from rnnprop_cli.kernels.cuda_window import window_gradient
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.passes import FusedPasses
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.kernels.tape import Kept, Tape, floats_per_coordinate

MAX_KEPT_BYTES: Final = 512 * 2**20  # of the tape of a stretch
# A window's tape takes at most one part in so many of the device's memory; its gradient takes half as much beside it.
TAPE_SHARE: Final = 8


class CudaKernel:
    """Implements `Kernel` for float32 tensors; other dtypes go to the reference.

    Raises:
        DeviceError: from the constructor, where triton is not installed.
    """

    name = "cuda"
    passes: FusedPasses | None

    def __init__(self) -> None:
        self._programs = import_programs("cuda_kernels")
        self.passes = CudaPasses()
        self._reference = ReferenceKernel()
        self._has_room = True  # for tapes, as far as anybody has seen

    @torch.no_grad()
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
        """See `Kernel.step`."""
        n = features_FN.shape[-1]
        contiguous = hidden.h_LHN.is_contiguous() and hidden.c_LHN.is_contiguous()
        if meta_params_Q.dtype != torch.float32 or n == 0 or not contiguous:
            assert kept is None, "a tape is for float32, and what follows on one is contiguous"
            return self._reference.step(network, meta_params_Q, features_FN, hidden, donate=donate)
        sizes = tiles()
        if kept is None:
            new = Hidden(
                hidden.h_LHN if donate and steps_in_place(network) else torch.empty_like(hidden.h_LHN),
                hidden.c_LHN if donate else torch.empty_like(hidden.c_LHN),
            )
            embedded_EN, output_N = features_FN.new_empty(network.embedding, n), features_FN.new_empty(n)
        else:
            embedded_EN, new, _, output_N = kept
        with torch.cuda.device_of(features_FN):  # type: ignore[no-untyped-call]
            self._programs.step_program[(-(-n // BLOCK),)](
                meta_params_Q.contiguous(), features_FN.contiguous(), embedded_EN, *hidden, *new,
                output_N if kept is None else kept.gates_LGN, output_N, n,
                F=network.features, E=network.embedding, H=network.hidden, LAYERS=network.layers,
                BOUNDED=network.bounded, KEEP=kept is not None, **sizes, **LAUNCH,
            )  # fmt: skip
        return output_N, new

    def tape(self, network: Network, steps: int, params_CP: Tensor) -> Tape | None:
        """See `Kernel.tape`."""
        n = params_CP.numel()
        if params_CP.dtype != torch.float32 or n == 0 or not self._has_room:
            return None
        limit = MAX_KEPT_BYTES
        if params_CP.is_cuda:
            limit = torch.cuda.get_device_properties(params_CP.device).total_memory // TAPE_SHARE
        if 4 * n * floats_per_coordinate(network, steps) > limit:
            return None
        try:
            return Tape.empty(network, steps, n, params_CP)
        except torch.OutOfMemoryError:
            self._has_room = False
            return None

    @torch.no_grad()
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
        """See `Kernel.window_gradient`."""
        if meta_params_Q.dtype != torch.float32:
            return self._reference.window_gradient(
                network, meta_params_Q, features_TFN, hidden, output_grad_TN
            )
        meta_params_Q, output_grad_TN = meta_params_Q.contiguous(), output_grad_TN.contiguous()
        steps, _, n = features_TFN.shape
        if tape is not None:
            try:
                return window_gradient(
                    self._programs, network, meta_params_Q, features_TFN.contiguous(), tape, output_grad_TN
                )
            except torch.OutOfMemoryError:
                self._has_room = False  # the steps are taken again, in stretches
        stretch = max(BLOCK, MAX_KEPT_BYTES // (4 * floats_per_coordinate(network, steps)) // BLOCK * BLOCK)
        total = torch.zeros_like(meta_params_Q)
        for start in range(0, n, stretch):
            part = slice(start, min(start + stretch, n))
            features, output_grad = features_TFN[..., part].contiguous(), output_grad_TN[:, part].contiguous()
            own = self._taken(network, meta_params_Q, features, Hidden(*(x[..., part] for x in hidden)))
            total += window_gradient(self._programs, network, meta_params_Q, features, own, output_grad)
        return total

    def _taken(self, network: Network, meta_params_Q: Tensor, features_TFN: Tensor, hidden: Hidden) -> Tape:
        """The tape of all steps of a window from a state on."""
        steps, _, n = features_TFN.shape
        tape = Tape.empty(network, steps, n, features_TFN)
        tape.start.h_LHN.copy_(hidden.h_LHN)
        tape.start.c_LHN.copy_(hidden.c_LHN)
        with torch.cuda.device_of(features_TFN):  # type: ignore[no-untyped-call]
            self._programs.window_program[(-(-n // BLOCK),)](
                meta_params_Q, features_TFN, *tape, steps, n,
                F=network.features, E=network.embedding, H=network.hidden, LAYERS=network.layers,
                BOUNDED=network.bounded, **tiles(), **LAUNCH,
            )  # fmt: skip
        return tape
