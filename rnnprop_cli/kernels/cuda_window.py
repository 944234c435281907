"""The gradient of a window by Triton programs, from the tape of its steps: top layer first, each over all steps.

Shape legend: N coordinates, T steps, D inputs of a layer, E embedding width, H hidden units, L layers, G = 4H gates,
Q meta-params.
"""

from types import ModuleType
from typing import Final

import torch
from torch import Tensor

from rnnprop_cli.kernels.cuda_launch import BLOCK, LAUNCH, WIDE_OUTER, outer_tile, tiles
from rnnprop_cli.kernels.network import Network
from rnnprop_cli.kernels.tape import Tape

OUTER_PROGRAMS: Final = 256  # that share the sum of a weight gradient: each has a partial gradient of its own


def window_gradient(
    programs: ModuleType,
    network: Network,
    meta_params_Q: Tensor,
    features_TFN: Tensor,
    tape: Tape,
    output_grad_TN: Tensor,
) -> Tensor:
    """The gradient [Q]; see `Kernel.window_gradient`. All tensors are contiguous float32."""
    steps, _, n = features_TFN.shape
    hidden, layers, starts = network.hidden, network.layers, _starts(network)
    q, new = meta_params_Q, meta_params_Q.new_empty
    partial_PQ = new(min(OUTER_PROGRAMS, steps * -(-n // WIDE_OUTER["BLOCK"])), len(q))
    carried_2HN, gate_grads_TGN = new(2, hidden, n), new(steps, 4 * hidden, n)
    inner_TN = torch.empty_like(output_grad_TN) if network.bounded else output_grad_TN
    below_TDN: Tensor | None = None
    for layer in range(layers - 1, -1, -1):
        top, embedded = layer == layers - 1, layer == 0 and network.embedding > 0
        below_it = tape.embedded_TEN if embedded else features_TFN
        x_TDN = tape.h_SLHN[1:, layer - 1] if layer > 0 else below_it
        above = inner_TN if below_TDN is None else below_TDN
        want_below = layer > 0 or embedded
        below_TDN = new(x_TDN.shape) if want_below else x_TDN
        with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]
            programs.backward_program[(-(-n // BLOCK),)](
                q[starts[f"lstm{layer}.w_input"] :], tape.gates_TLGN[:, layer], tape.c_SLHN[:, layer], above,
                tape.outputs_TN, output_grad_TN, *carried_2HN, gate_grads_TGN, x_TDN, below_TDN,
                steps, n, layers * hidden * n,
                D=x_TDN.shape[1], H=hidden, TOP=top, BOUNDED=network.bounded, BELOW=want_below, EMBEDDED=embedded,
                **tiles(), **LAUNCH,
            )  # fmt: skip
        if top:
            _outer(programs, partial_PQ, inner_TN[:, None], tape.h_SLHN[1:, layer], None, starts, "out")
        _outer(programs, partial_PQ, gate_grads_TGN, x_TDN, tape.h_SLHN[:-1, layer], starts, f"lstm{layer}")
    if network.embedding:
        assert below_TDN is not None
        _outer(programs, partial_PQ, below_TDN, features_TFN, None, starts, "embed")
    return partial_PQ.sum(dim=0)


def _outer(
    programs: ModuleType,
    partial_PQ: Tensor,
    left_TRN: Tensor,
    x_TDN: Tensor,
    h_THN: Tensor | None,
    starts: dict[str, int],
    layer: str,
) -> None:
    """Sums of outer products, to where the layer's meta-params are."""
    steps, rows, n = left_TRN.shape
    width = x_TDN.shape[1]
    height = 0 if h_THN is None else h_THN.shape[1]
    weight = "weight" if h_THN is None else "w_input"
    tile = outer_tile(rows, width + height + 1)
    grid = (len(partial_PQ), -(-rows // tile["ROWS"]), -(-(width + height + 1) // tile["COLUMNS"]))
    with torch.cuda.device_of(partial_PQ):  # type: ignore[no-untyped-call]
        programs.outer_program[grid](
            left_TRN, x_TDN, x_TDN if h_THN is None else h_THN, partial_PQ, partial_PQ.shape[1],
            starts[f"{layer}.{weight}"], starts.get(f"{layer}.w_hidden", 0), starts[f"{layer}.bias"], steps, n,
            x_TDN.stride(0), 0 if h_THN is None else h_THN.stride(0),
            R=rows, D=width, H=height, **tile,
        )  # fmt: skip


def _starts(network: Network) -> dict[str, int]:
    """Where each of the meta-params starts in the flat vector."""
    starts, position = {}, 0
    for name, shape in network.named_shapes():
        starts[name] = position
        position += torch.Size(shape).numel()
    return starts
