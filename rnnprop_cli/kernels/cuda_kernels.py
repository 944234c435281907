"""Triton programs of the CUDA body. Importing this module needs triton; `cuda.py` does not.

A program works on BLOCK coordinates. What the units of a layer tell each other (the outputs of a step, the gradients
of a step's gates) passes through memory, where a program finds it in the cache, so that registers and shared memory
are those of a few units whatever the network's width.

The steps of a window keep their gates, outputs and cell states; the backward direction goes layer by layer, each over
all of its steps. Weight gradients are sums of outer products over steps and coordinates, and a program of their own.

Letters: N coordinates, T steps, F features, E embedding width, H hidden units, D inputs of a layer.
"""

# mypy: ignore-errors
# Annotations of these functions are read by triton, which knows tl.constexpr and nothing else.

import triton
import triton.language as tl

from rnnprop_cli.kernels.cuda_tiles import (
    IN_TWO,
    UNITS,
    gradients_below,
    gradients_of_gates,
    load_columns,
    network_step,
)

# Of weight gradients: on matrix units, in three products of TF32 that together have float32's accuracy.
OUTER_PRECISION = tl.constexpr("tf32x3")


@triton.jit
def step_program(
    q, features, embedded, h_old, c_old, h_new, c_new, kept, output, N,
    F: tl.constexpr, E: tl.constexpr, H: tl.constexpr, LAYERS: tl.constexpr, BOUNDED: tl.constexpr,
    KEEP: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of all layers; c_new may be c_old, and h_new may be h_old where H <= IN_TWO.

    Args:
        embedded: [E, N] receives the embedding's outputs.
        kept: [LAYERS, 4H, N] receives the gates, if KEEP.
        output: [N].
    """
    N = tl.cast(N, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    y = network_step(
        q, features, embedded, h_old, c_old, h_new, c_new, kept, n, N,
        F, E, H, LAYERS, BOUNDED, KEEP, DEPTH, BLOCK,
    )  # fmt: skip
    tl.store(output + n, y, mask=n < N)


@triton.jit
def relative_program(
    q, numbers, of_m, of_v, rest1, beta2, rest2, eps, grads, m, v, features, embedded,
    h_old, c_old, h_new, c_new, kept, output, rate, theta, P, N,
    FROM_TABLE: tl.constexpr, E: tl.constexpr, H: tl.constexpr, LAYERS: tl.constexpr, BOUNDED: tl.constexpr,
    KEEP: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of RNNprop (`optimizers/rnnprop.py` defines it): moments, features, network and params, all in place.

    Args (beyond those of `step_program`, of which `output` is written only if KEEP):
        numbers: of_m and of_v where FROM_TABLE; else the arguments count.
        of_m: what m is divided by.
        of_v: what v is divided by.
        rest1: 1 - beta1.
        rest2: 1 - beta2.
        grads: [C, P], and so m, v and theta, which are the params.
        features: [2, N] receives the network's inputs.
        rate: [C].
    """
    N = tl.cast(N, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = n < N
    if FROM_TABLE:
        of_m = tl.load(numbers)
        of_v = tl.load(numbers + 1)
    g = tl.load(grads + n, mask=inside, other=0.0)
    first = tl.load(m + n, mask=inside, other=0.0)
    first += rest1 * (g - first)
    second = beta2 * tl.load(v + n, mask=inside, other=0.0) + rest2 * (g * g)
    tl.store(m + n, first, mask=inside)
    tl.store(v + n, second, mask=inside)
    scale = 1.0 / (tl.sqrt_rn(second / of_v) + eps)
    tl.store(features + n, g * scale, mask=inside)
    tl.store(features + N + n, first * scale / of_m, mask=inside)
    tl.debug_barrier()  # other threads read them
    y = network_step(
        q, features, embedded, h_old, c_old, h_new, c_new, kept, n, N,
        2, E, H, LAYERS, BOUNDED, KEEP, DEPTH, BLOCK,
    )  # fmt: skip
    if KEEP:
        tl.store(output + n, y, mask=inside)
    step = tl.load(rate + n // P, mask=inside, other=0.0) * y
    tl.store(theta + n, tl.load(theta + n, mask=inside, other=0.0) + step, mask=inside)


@triton.jit
def window_program(
    q, features, embedded, h, c, kept, output, T, N,
    F: tl.constexpr, E: tl.constexpr, H: tl.constexpr, LAYERS: tl.constexpr, BOUNDED: tl.constexpr,
    DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """All steps of a window, each as `step_program` takes one and keeps its gates.

    Args:
        features: [T, F, N].
        embedded: [T, E, N].
        h: [T + 1, LAYERS, H, N] the outputs before the window, and room for those after every step.
        c: [T + 1, LAYERS, H, N] likewise the cell states.
        kept: [T, LAYERS, 4H, N].
        output: [T, N].
    """
    N = tl.cast(N, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    for t in range(T):
        old = t * LAYERS * H * N
        new = old + LAYERS * H * N
        y = network_step(
            q, features + t * F * N, embedded + t * E * N, h + old, c + old, h + new, c + new, kept + 4 * old, n, N,
            F, E, H, LAYERS, BOUNDED, True, DEPTH, BLOCK,
        )  # fmt: skip
        tl.store(output + t * N + n, y, mask=n < N)


@triton.jit
def part_backward(
    layer, here, old, stride, above, output, output_grad, carried_h, carried_c, d_gates, later, first, n, N,
    D: tl.constexpr, H: tl.constexpr, TOP: tl.constexpr, BOUNDED: tl.constexpr, PART: tl.constexpr,
):  # fmt: skip
    """One step back for PART units of a layer, as far as its gates; see `backward_program`."""
    if TOP:
        u = first + tl.arange(0, PART)
        d = tl.load(output_grad + n, mask=n < N, other=0.0)
        if BOUNDED:
            y = tl.load(output + n, mask=n < N, other=0.0)
            d *= 1.0 - y * y
            tl.store(above + n, d, mask=n < N)
        out = layer + 4 * H * (D + H + 1)
        dh = tl.load(out + u, mask=u < H, other=0.0)[None, :] * d[:, None]
    else:
        dh = load_columns(above, first, H, PART, n, N)
    if later:
        dh += load_columns(carried_h, first, H, PART, n, N)
    gradients_of_gates(here, old, stride, dh, carried_c, d_gates, later, first, n, N, H, PART)


@triton.jit
def backward_program(
    layer, kept, c, above, output, output_grads, carried_h, carried_c, gate_grads, inputs, below, T, N, stride,
    D: tl.constexpr, H: tl.constexpr, TOP: tl.constexpr, BOUNDED: tl.constexpr, BELOW: tl.constexpr,
    EMBEDDED: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One layer backward over a window.

    Args:
        layer: the layer's meta-params; behind them lie those of the output, if TOP.
        kept: the layer's gates [4H, N] at the first step, those of the next 4 * `stride` behind them.
        c: the layer's cell states [H, N] before the first step, those after it `stride` behind them.
        above: [T, H, N] gradient with respect to the layer's outputs; if TOP and BOUNDED, [T, N] receives that with
            respect to the network's output before its tanh.
        output: [T, N] of the network.
        output_grads: [T, N] with respect to them.
        carried_h: [H, N] room for the gradient with respect to the outputs of the step before.
        carried_c: [H, N] likewise the cell state.
        gate_grads: [T, 4H, N] receives the gradient with respect to the sums before the gates.
        inputs: [T, D, N] the layer's, read if EMBEDDED.
        below: [T, D, N] receives the gradient with respect to the inputs, if BELOW; if EMBEDDED to what was before
            the ELU that they come from.
    """
    N = tl.cast(N, tl.int64)
    stride = tl.cast(stride, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    ABOVE: tl.constexpr = 1 if TOP else H
    TOTAL: tl.constexpr = H + D if BELOW else H
    for back in range(T):
        t = T - 1 - back
        d_gates = gate_grads + t * 4 * H * N
        here, old = kept + t * 4 * stride, c + t * stride
        own, y, dy = above + t * ABOVE * N, output + t * N, output_grads + t * N
        later = back > 0
        if H <= IN_TWO:
            REST: tl.constexpr = 16 if H > 24 else (8 if H > 20 else 4)
            part_backward(
                layer, here, old, stride, own, y, dy, carried_h, carried_c, d_gates, later, 0, n, N,
                D, H, TOP, BOUNDED, UNITS,
            )  # fmt: skip
            if H > UNITS:
                part_backward(
                    layer, here, old, stride, own, y, dy, carried_h, carried_c, d_gates, later, UNITS, n, N,
                    D, H, TOP, BOUNDED, REST,
                )  # fmt: skip
        else:
            for first in range(0, H, UNITS):
                part_backward(
                    layer, here, old, stride, own, y, dy, carried_h, carried_c, d_gates, later, first, n, N,
                    D, H, TOP, BOUNDED, UNITS,
                )  # fmt: skip
        tl.debug_barrier()  # `d_gates` is read, and `carried_h` written, by other threads
        x, dx = inputs + t * D * N, below + t * D * N
        if TOTAL <= 3 * UNITS:
            for first in tl.static_range(0, TOTAL, 32):
                gradients_below(
                    layer, d_gates, carried_h, dx, x, first, n, N,
                    D, H, BELOW, EMBEDDED, 32 if TOTAL - first > 16 else 16, DEPTH, BLOCK,
                )  # fmt: skip
        else:
            for first in range(0, TOTAL, 32):
                gradients_below(
                    layer, d_gates, carried_h, dx, x, first, n, N, D, H, BELOW, EMBEDDED, 32, DEPTH, BLOCK
                )
        tl.debug_barrier()  # the earlier step reads what is carried


@triton.jit
def outer_program(
    left, x, h, partial, Q, x_start, h_start, sum_start, T, N, x_stride, h_stride,
    R: tl.constexpr, D: tl.constexpr, H: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A program's part of sum_{t,n} left[t, :, n] right[t, :, n]^T, and of sum_{t,n} left[t, :, n].

    Args:
        left: [T, R, N].
        x: right[0, :D] [D, N]; those of the next step `x_stride` behind.
        h: right[0, D:] [H, N]; those of the next step `h_stride` behind.
        partial: [programs, Q]; row p receives program p's part: of the product with x [R, D] at x_start, of that with
            h [R, H] at h_start, of the sum [R] at sum_start.
    """
    N = tl.cast(N, tl.int64)
    x_stride = tl.cast(x_stride, tl.int64)
    h_stride = tl.cast(h_stride, tl.int64)
    program = tl.program_id(0)
    first_row = tl.program_id(1) * ROWS
    s = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    r = first_row + tl.arange(0, ROWS)[:, None]
    product = tl.zeros((ROWS, COLUMNS), tl.float32)
    blocks = tl.cdiv(N, BLOCK)
    for index in range(program, T * blocks, tl.num_programs(0)):
        t = index // blocks
        n = (index % blocks).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        left_tile = tl.load(left + t * R * N + r * N + n[None, :], mask=(r < R) & (n[None, :] < N), other=0.0)
        row = tl.where(s < D, x + t * x_stride + s * N, h + t * h_stride + (s - D) * N)
        right_tile = tl.load(  # transposed as it is loaded
            row + n[:, None], mask=(s < D + H) & (n[:, None] < N), other=0.0
        )
        right_tile = tl.where(s == D + H, 1.0, right_tile)  # a column that gives the sum
        product = tl.dot(left_tile, right_tile, acc=product, input_precision=OUTER_PRECISION)
    mine = partial + program.to(tl.int64) * Q
    at = tl.where(s < D, x_start + r * D + s, h_start + r * H + (s - D))
    at = tl.where(s == D + H, sum_start + r, at)
    tl.store(mine + at, product, mask=(r < R) & (s <= D + H))
