"""Triton programs of the CUDA body. Importing this module needs triton; `cuda.py` does not.

A program works on BLOCK coordinates. What the units of a layer tell each other (the outputs of a step, the gradients
of a step's gates) passes through memory, where a program finds it in the cache, so that registers and shared memory
are those of one tile of units whatever the network's width. Products are float32 throughout ("ieee"): TF32 misses the
accuracy that meta-gradients need.

The window goes layer by layer, each over all of its steps. Outputs and cell states are kept; gates are computed again
in the backward direction rather than stored. Weight gradients are sums of outer products over steps and coordinates,
and a program of their own.

Letters: N coordinates, T steps, F features, E embedding width, H hidden units, D inputs of a layer.
"""

# mypy: ignore-errors
# Annotations of these functions are read by triton, which knows tl.constexpr and nothing else.

import triton
import triton.language as tl

from rnnprop_cli.kernels.cuda_tiles import (
    load_rows,
    network_step,
    store_rows,
    tanh,
    transposed_product,
)

OUTER_PRECISION = tl.constexpr("ieee")  # of products that sum weight gradients


@triton.jit
def step_program(
    q, features, embedded, h_old, c_old, h_new, c_new, kept, output, N,
    F: tl.constexpr, E: tl.constexpr, H: tl.constexpr, LAYERS: tl.constexpr, BOUNDED: tl.constexpr,
    KEEP: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of all layers; c_new may be c_old, and h_new may be h_old where H <= UNITS.

    Args:
        embedded: [E, N] receives the embedding's outputs.
        kept: [LAYERS, 4H, N] receives the gates, if KEEP.
        output: [N].
    """
    N = tl.cast(N, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    y = network_step(
        q, features, embedded, h_old, c_old, h_new, c_new, kept, n, N,
        F, E, H, LAYERS, BOUNDED, KEEP, UNITS, DEPTH, BLOCK,
    )  # fmt: skip
    tl.store(output + n, y, mask=n < N)


@triton.jit
def relative_program(
    q, numbers, of_m, of_v, rest1, beta2, rest2, eps, grads, m, v, features, embedded,
    h_old, c_old, h_new, c_new, kept, output, rate, theta, P, N,
    FROM_TABLE: tl.constexpr, E: tl.constexpr, H: tl.constexpr, LAYERS: tl.constexpr, BOUNDED: tl.constexpr,
    KEEP: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
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
        2, E, H, LAYERS, BOUNDED, KEEP, UNITS, DEPTH, BLOCK,
    )  # fmt: skip
    if KEEP:
        tl.store(output + n, y, mask=inside)
    step = tl.load(rate + n // P, mask=inside, other=0.0) * y
    tl.store(theta + n, tl.load(theta + n, mask=inside, other=0.0) + step, mask=inside)


@triton.jit
def window_program(
    q, features, embedded, h, c, kept, output, T, N,
    F: tl.constexpr, E: tl.constexpr, H: tl.constexpr, LAYERS: tl.constexpr, BOUNDED: tl.constexpr,
    UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
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
            F, E, H, LAYERS, BOUNDED, True, UNITS, DEPTH, BLOCK,
        )  # fmt: skip
        tl.store(output + t * N + n, y, mask=n < N)


@triton.jit
def top_gradient(
    out, output, output_grads, inner, first, n, N,
    H: tl.constexpr, BOUNDED: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    """The gradient [UNITS, BLOCK] with respect to the top layer's outputs of a step.

    `inner` [N] receives that with respect to the network's output before its tanh, if BOUNDED.
    """
    u = first + tl.arange(0, UNITS)
    d = tl.load(output_grads + n, mask=n < N, other=0.0)
    if BOUNDED:
        y = tl.load(output + n, mask=n < N, other=0.0)
        d *= 1.0 - y * y
        tl.store(inner + n, d, mask=n < N)
    return tl.load(out + u, mask=u < H, other=0.0)[:, None] * d[None, :]


@triton.jit
def backward_program(
    layer, kept, c, above, output, output_grads, carried_h, carried_c, gate_grads, inputs, below, T, N, stride,
    D: tl.constexpr, H: tl.constexpr, TOP: tl.constexpr, BOUNDED: tl.constexpr, BELOW: tl.constexpr,
    EMBEDDED: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One layer backward over a window.

    With h = o tanh(c) and c = f c_old + i g: dc += dh o (1 - tanh(c)^2); sigmoid' = s (1 - s), tanh' = 1 - tanh^2.

    Args:
        layer: the layer's meta-params; behind them lie those of the output, if TOP.
        kept: the layer's gates [4H, N] at the first step, those of the next 4 * `stride` behind them.
        c: the layer's cell states [H, N] before the first step, those after it `stride` behind them.
        above: [T, H, N] gradient with respect to the layer's outputs; if TOP [T, N], see `top_gradient`'s `inner`.
        output: [T, N] of the network.
        output_grads: [T, N] with respect to them.
        carried_h: [H, N] room for the gradient with respect to the outputs of the step before.
        carried_c: [H, N] likewise the cell state.
        gate_grads: [T, 4H, N] receives the gradient with respect to the sums in front of the gates.
        inputs: [T, D, N] the layer's, read if EMBEDDED.
        below: [T, D, N] receives the gradient with respect to the inputs, if BELOW; if EMBEDDED to what was before
            the ELU that they come from.
    """
    N = tl.cast(N, tl.int64)
    stride = tl.cast(stride, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    w_hidden = layer + 4 * H * D
    for back in range(T):
        t = T - 1 - back
        d_gates = gate_grads + t * 4 * H * N
        here, old = kept + t * 4 * stride, c + t * stride
        for first in range(0, H, UNITS):
            i = load_rows(here, first, H, UNITS, n, N)
            f = load_rows(here + H * N, first, H, UNITS, n, N)
            g = load_rows(here + 2 * H * N, first, H, UNITS, n, N)
            o = load_rows(here + 3 * H * N, first, H, UNITS, n, N)
            c_old = load_rows(old, first, H, UNITS, n, N)
            tanh_c = tanh(load_rows(old + stride, first, H, UNITS, n, N))
            if TOP:
                at = t * N
                out = w_hidden + 4 * H * (H + 1)
                dh = top_gradient(
                    out, output + at, output_grads + at, above + at, first, n, N, H, BOUNDED, UNITS
                )
            else:
                dh = load_rows(above + t * H * N, first, H, UNITS, n, N)
            if back > 0:
                dh += load_rows(carried_h, first, H, UNITS, n, N)
            dc = dh * o * (1.0 - tanh_c * tanh_c)
            if back > 0:
                dc += load_rows(carried_c, first, H, UNITS, n, N)
            store_rows(d_gates, first, H, UNITS, n, N, dc * g * i * (1.0 - i))
            store_rows(d_gates + H * N, first, H, UNITS, n, N, dc * c_old * f * (1.0 - f))
            store_rows(d_gates + 2 * H * N, first, H, UNITS, n, N, dc * i * (1.0 - g * g))
            store_rows(d_gates + 3 * H * N, first, H, UNITS, n, N, dh * tanh_c * o * (1.0 - o))
            tl.debug_barrier()  # all threads have read the old `carried_c`
            store_rows(carried_c, first, H, UNITS, n, N, dc * f)
        tl.debug_barrier()  # `d_gates` is read, and `carried_h` written, by other threads
        for first in range(0, H, UNITS):
            dh = transposed_product(w_hidden, d_gates, first, n, N, H, 4 * H, UNITS, DEPTH, BLOCK)
            store_rows(carried_h, first, H, UNITS, n, N, dh)
        if BELOW:
            for first in range(0, D, UNITS):
                dx = transposed_product(layer, d_gates, first, n, N, D, 4 * H, UNITS, DEPTH, BLOCK)
                if EMBEDDED:
                    x = load_rows(inputs + t * D * N, first, D, UNITS, n, N)
                    dx *= tl.where(x > 0.0, 1.0, x + 1.0)  # ELU'(z) = exp(z) = x + 1 for z <= 0
                store_rows(below + t * D * N, first, D, UNITS, n, N, dx)
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
    product = tl.zeros((ROWS, COLUMNS), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    blocks = tl.cdiv(N, BLOCK)
    for index in range(program, T * blocks, tl.num_programs(0)):
        t = index // blocks
        n = (index % blocks).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        left_tile = load_rows(left + t * R * N, first_row, R, ROWS, n, N)
        row = tl.where(s < D, x + t * x_stride + s * N, h + t * h_stride + (s - D) * N)
        right_tile = tl.load(  # transposed as it is loaded
            row + n[:, None], mask=(s < D + H) & (n[:, None] < N), other=0.0
        )
        product = tl.dot(left_tile, right_tile, acc=product, input_precision=OUTER_PRECISION)
        total += tl.sum(left_tile, axis=1)
    mine = partial + program.to(tl.int64) * Q
    r = first_row + tl.arange(0, ROWS)
    at = tl.where(s < D, x_start + r[:, None] * D + s, h_start + r[:, None] * H + (s - D))
    tl.store(mine + at, product, mask=(r[:, None] < R) & (s < D + H))
    if tl.program_id(2) == 0:
        tl.store(mine + sum_start + r, total, mask=r < R)
