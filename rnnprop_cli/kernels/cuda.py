"""The CUDA body: Triton programs, in float32.

Importing this module needs no triton; making a `CudaKernel` does. Nothing waits for the device, so that both methods
can be captured in a CUDA graph. Sums are taken in a fixed order: the same inputs give the same bits.

Every launch works on blocks of coordinates; a window is one forward and one backward launch for each layer.
It keeps h and c of every layer and step (320 bytes a coordinate and step at 2 layers of 20), so long lists of
coordinates are taken in stretches.
"""

from types import ModuleType
from typing import Final

import torch
from torch import Tensor

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.base import FusedPasses, Hidden, Network
from rnnprop_cli.kernels.reference import ReferenceKernel

# Coordinates, warps and pipeline stages of a program. Compiled for sm_90 this fits two programs on a processor with
# few registers spilled; more stages or larger blocks spill tens of kilobytes. Not yet timed on a device.
BLOCK: Final = 32
LAUNCH: Final = {"num_warps": 4, "num_stages": 1, "enable_fp_fusion": True}
MIN_TILE: Final = 16  # the smallest side of a product
MAX_PROGRAMS: Final = 1024  # programs of a backward launch: each has a partial gradient of its own
MAX_KEPT_BYTES: Final = 512 * 2**20  # of the states kept for the backward direction


def padded(size: int) -> int:
    """The side of a tile that holds `size` rows."""
    return max(MIN_TILE, 1 << (size - 1).bit_length())


def import_programs() -> ModuleType:
    """The module of Triton programs.

    Raises:
        DeviceError: triton is not installed.
    """
    try:
        from rnnprop_cli.kernels import cuda_kernels
    except ImportError as error:
        raise DeviceError(
            f"the fast CUDA kernel needs triton ({error}); install it with pip install triton"
        ) from None
    return cuda_kernels


class CudaKernel:
    """Implements `Kernel` for float32 tensors; other dtypes go to the reference.

    Raises:
        DeviceError: from the constructor, where triton is not installed.
    """

    name = "cuda"
    passes: FusedPasses | None = None

    def __init__(self) -> None:
        self._programs = import_programs()
        self._reference = ReferenceKernel()

    @torch.no_grad()
    def step(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_FN: Tensor,
        hidden: Hidden,
        *,
        donate: bool = False,
    ) -> tuple[Tensor, Hidden]:
        """See `Kernel.step`."""
        n = features_FN.shape[-1]
        contiguous = hidden.h_LHN.is_contiguous() and hidden.c_LHN.is_contiguous()
        if meta_params_Q.dtype != torch.float32 or n == 0 or not contiguous:
            return self._reference.step(network, meta_params_Q, features_FN, hidden, donate=donate)
        new = hidden if donate else Hidden(torch.empty_like(hidden.h_LHN), torch.empty_like(hidden.c_LHN))
        output = features_FN.new_empty(n)
        with torch.cuda.device_of(features_FN):  # type: ignore[no-untyped-call]
            self._programs.step_program[(-(-n // BLOCK),)](
                meta_params_Q.contiguous(), features_FN.contiguous(), *hidden, *new, output, n,
                F=network.features, E=network.embedding, H=network.hidden, LAYERS=network.layers,
                FP=padded(network.features + 1), DP=padded(network.embedding or network.features),
                HP=padded(network.hidden), BOUNDED=network.bounded, BLOCK=BLOCK, **LAUNCH,
            )  # fmt: skip
        return output, new

    @torch.no_grad()
    def window_gradient(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_TFN: Tensor,
        hidden: Hidden,
        output_grad_TN: Tensor,
    ) -> Tensor:
        """See `Kernel.window_gradient`."""
        if meta_params_Q.dtype != torch.float32:
            return self._reference.window_gradient(
                network, meta_params_Q, features_TFN, hidden, output_grad_TN
            )
        steps, _, n = features_TFN.shape
        kept_floats = (
            steps * network.hidden * (2 * network.layers + 2)
        )  # h and c; a gradient read, one written
        stretch = max(BLOCK, MAX_KEPT_BYTES // (4 * kept_floats) // BLOCK * BLOCK)
        total = torch.zeros_like(meta_params_Q)
        for start in range(0, n, stretch):
            part = slice(start, min(start + stretch, n))
            with torch.cuda.device_of(features_TFN):  # type: ignore[no-untyped-call]
                total += self._stretch_gradient(
                    network,
                    meta_params_Q.contiguous(),
                    features_TFN[..., part].contiguous(),
                    Hidden(hidden.h_LHN[..., part].contiguous(), hidden.c_LHN[..., part].contiguous()),
                    output_grad_TN[:, part].contiguous(),
                )
        return total

    def _stretch_gradient(
        self,
        network: Network,
        meta_params_Q: Tensor,
        features_TFN: Tensor,
        hidden: Hidden,
        output_grad_TN: Tensor,
    ) -> Tensor:
        steps, features, n = features_TFN.shape
        blocks = -(-n // BLOCK)
        programs = min(blocks, MAX_PROGRAMS)
        state_shape = (network.layers, steps, network.hidden, n)
        h_LTHN, c_LTHN = meta_params_Q.new_empty((2, *state_shape))
        # Two buffers in turns: one program's threads read the one while they write the other.
        grad_buffers = meta_params_Q.new_empty((2, steps, network.hidden, n))
        partial_PQ = meta_params_Q.new_empty((programs, network.n_meta_params))
        starts = _layer_starts(network)

        def sizes(layer: int) -> dict[str, int]:
            width = network.hidden if layer else network.embedding or features
            return {
                "F": features,
                "E": 0 if layer else network.embedding,
                "D": width,
                "H": network.hidden,
                "FP": padded(features + 1),
                "DP": padded(width),
                "HP": padded(network.hidden),
                "BLOCK": BLOCK,
                **LAUNCH,
            }

        def inputs(layer: int) -> Tensor:
            return h_LTHN[layer - 1] if layer else features_TFN

        for layer in range(network.layers):
            self._programs.forward_program[(blocks,)](
                meta_params_Q, meta_params_Q[starts[layer] :], inputs(layer),
                hidden.h_LHN[layer], hidden.c_LHN[layer], h_LTHN[layer], c_LTHN[layer], steps, n, **sizes(layer),
            )  # fmt: skip
        top = network.layers - 1
        for layer in range(top, -1, -1):
            above = output_grad_TN if layer == top else grad_buffers[(layer + 1) % 2]
            self._programs.backward_program[(programs,)](
                meta_params_Q, starts[layer], starts[-1], inputs(layer),
                hidden.h_LHN[layer], hidden.c_LHN[layer], h_LTHN[layer], c_LTHN[layer],
                above, grad_buffers[layer % 2], partial_PQ, network.n_meta_params, steps, n,
                TOP=layer == top, BELOW=layer > 0, BOUNDED=network.bounded, **sizes(layer),
            )  # fmt: skip
        return partial_PQ.sum(dim=0)


def _layer_starts(network: Network) -> list[int]:
    """Where each layer's meta-params start in the flat vector, and at the end where the output's do."""
    firsts = [f"lstm{layer}.w_input" for layer in range(network.layers)] + ["out.weight"]
    starts, position = [], 0
    for name, shape in network.named_shapes():
        if name in firsts:
            starts.append(position)
        position += torch.Size(shape).numel()
    return starts
