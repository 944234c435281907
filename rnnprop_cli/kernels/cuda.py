"""The CUDA body: Triton programs, in float32.

Importing this module needs no triton; making a `CudaKernel` does. Nothing waits for the device, so that both methods
can be captured in a CUDA graph. Sums are taken in a fixed order: the same inputs give the same bits.

A step is one launch. A window is a forward and a backward launch for each layer, and one for each of its weight
gradients. It keeps some 800 bytes a coordinate and step (2 layers of 20), so long lists of coordinates are taken in
stretches.
"""

from types import ModuleType
from typing import Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.cuda_launch import BLOCK, LAUNCH, fits_one_tile, import_programs, tiles
from rnnprop_cli.kernels.cuda_passes import CudaPasses
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.passes import FusedPasses
from rnnprop_cli.kernels.reference import ReferenceKernel

OUTER_TILE: Final = 32  # rows and columns of a weight gradient that a program sums
OUTER_PROGRAMS: Final = 256  # that share a tile's sum: each has a partial gradient of its own
MAX_KEPT_BYTES: Final = 512 * 2**20  # of what is kept for the backward direction


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
        sizes = tiles(network)
        new = Hidden(
            hidden.h_LHN if donate and fits_one_tile(network) else torch.empty_like(hidden.h_LHN),
            hidden.c_LHN if donate else torch.empty_like(hidden.c_LHN),
        )
        embedded_EN = features_FN.new_empty(network.embedding, n)
        output = features_FN.new_empty(n)
        with torch.cuda.device_of(features_FN):  # type: ignore[no-untyped-call]
            self._programs.step_program[(-(-n // BLOCK),)](
                meta_params_Q.contiguous(), features_FN.contiguous(), embedded_EN, *hidden, *new, output, n,
                F=network.features, E=network.embedding, H=network.hidden, LAYERS=network.layers,
                BOUNDED=network.bounded, **sizes, **LAUNCH,
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
        # h and c of every layer; of one layer at a time gradients of gates, outputs and inputs
        kept_floats = (steps + 1) * (network.hidden * (2 * network.layers + 6) + 2 * network.embedding)
        stretch = max(BLOCK, MAX_KEPT_BYTES // (4 * kept_floats) // BLOCK * BLOCK)
        total = torch.zeros_like(meta_params_Q)
        for start in range(0, n, stretch):
            part = slice(start, min(start + stretch, n))
            with torch.cuda.device_of(features_TFN):  # type: ignore[no-untyped-call]
                window = _Window(
                    self._programs, network, meta_params_Q.contiguous(), features_TFN[..., part].contiguous()
                )
                window.forward(Hidden(hidden.h_LHN[..., part], hidden.c_LHN[..., part]))
                total += window.backward(output_grad_TN[:, part])
        return total


class _Window:
    """The launches of one window on one stretch of coordinates."""

    def __init__(
        self, programs: ModuleType, network: Network, meta_params_Q: Tensor, features_TFN: Tensor
    ) -> None:
        self.programs, self.network = programs, network
        self.meta_params_Q, self.features_TFN = meta_params_Q, features_TFN
        self.steps, _, self.n = features_TFN.shape
        self.blocks = -(-self.n // BLOCK)
        self.tiles = tiles(network)
        self.starts = _starts(network)
        splits = min(self.steps * self.blocks, OUTER_PROGRAMS)
        self.partial_PQ = meta_params_Q.new_empty(splits, network.n_meta_params)

    def forward(self, hidden: Hidden) -> None:
        """Keeps the inputs [T, D, N] of every layer, and its outputs and cell states [T + 1, H, N]."""
        network, q, n = self.network, self.meta_params_Q, self.n
        x_TDN = self.features_TFN
        if network.embedding:
            x_TDN = q.new_empty(self.steps, network.embedding, n)
            self.programs.embed_program[(self.blocks, self.steps)](
                q, self.features_TFN, x_TDN, n,
                F=network.features, E=network.embedding, UNITS=self.tiles["UNITS"], BLOCK=BLOCK, **LAUNCH,
            )  # fmt: skip
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []
        for layer in range(network.layers):
            h_THN, c_THN = q.new_empty(2, self.steps + 1, network.hidden, n)
            h_THN[0], c_THN[0] = hidden.h_LHN[layer], hidden.c_LHN[layer]
            self.programs.forward_program[(self.blocks,)](
                self._layer(layer), x_TDN, h_THN, c_THN, self.steps, n,
                D=x_TDN.shape[1], H=network.hidden, **self.tiles, **LAUNCH,
            )  # fmt: skip
            self.kept.append((x_TDN, h_THN, c_THN))
            x_TDN = h_THN[1:]

    def backward(self, output_grad_TN: Tensor) -> Tensor:
        """The gradient [Q]; what `forward` has kept is used up."""
        network, q, n, steps = self.network, self.meta_params_Q, self.n, self.steps
        hidden, start = network.hidden, self.starts["out.weight"]
        top_THN = self.kept[-1][1][1:]
        if network.bounded:
            output_TN = torch.empty_like(output_grad_TN, memory_format=torch.contiguous_format)
            self.programs.output_program[(self.blocks, steps)](
                q[start:], top_THN, output_TN, n,
                H=hidden, BOUNDED=True, UNITS=self.tiles["UNITS"], BLOCK=BLOCK, **LAUNCH,
            )  # fmt: skip
            output_grad_TN = output_grad_TN * (1 - output_TN * output_TN)
        self._outer(output_grad_TN[:, None], top_THN, "out.weight", "out.bias")
        above_TDN = q[start : start + hidden, None] * output_grad_TN[:, None]
        carried_HN = q.new_empty(hidden, n)
        gate_grads_TGN = q.new_empty(steps, 4 * hidden, n)
        for layer in range(network.layers - 1, -1, -1):
            x_TDN, h_THN, c_THN = self.kept.pop()
            want_below = layer > 0 or network.embedding > 0
            below_TDN = torch.empty_like(x_TDN) if want_below else x_TDN
            self.programs.backward_program[(self.blocks,)](
                self._layer(layer), x_TDN, h_THN, c_THN, above_TDN, carried_HN, gate_grads_TGN, below_TDN, steps, n,
                D=x_TDN.shape[1], H=hidden, BELOW=want_below, **self.tiles, **LAUNCH,
            )  # fmt: skip
            self._outer(gate_grads_TGN, x_TDN, f"lstm{layer}.w_input", f"lstm{layer}.bias")
            self._outer(gate_grads_TGN, h_THN[:-1], f"lstm{layer}.w_hidden", f"lstm{layer}.bias")
            above_TDN = below_TDN
        if network.embedding:
            above_TDN *= x_TDN.clamp(max=0).add_(1)  # ELU'(z) = exp(z) = x + 1 for z <= 0, else 1
            self._outer(above_TDN, self.features_TFN, "embed.weight", "embed.bias")
        return self.partial_PQ.sum(dim=0)

    def _layer(self, layer: int) -> Tensor:
        return self.meta_params_Q[self.starts[f"lstm{layer}.w_input"] :]

    def _outer(self, left_TRN: Tensor, right_TSN: Tensor, product: str, total: str) -> None:
        """Sums of outer products to the places of the meta-params `product` and `total`."""
        rows, columns = left_TRN.shape[1], right_TSN.shape[1]
        grid = (len(self.partial_PQ), -(-rows // OUTER_TILE), -(-columns // OUTER_TILE))
        self.programs.outer_program[grid](
            left_TRN.contiguous(), right_TSN, self.partial_PQ, self.network.n_meta_params,
            self.starts[product], self.starts[total], self.steps, self.n,
            R=rows, S=columns, ROWS=OUTER_TILE, COLUMNS=OUTER_TILE, BLOCK=BLOCK, **LAUNCH,
        )  # fmt: skip


def _starts(network: Network) -> dict[str, int]:
    """Where each of the meta-params starts in the flat vector."""
    starts, position = {}, 0
    for name, shape in network.named_shapes():
        starts[name] = position
        position += torch.Size(shape).numel()
    return starts
