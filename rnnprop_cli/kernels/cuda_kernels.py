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
    add_transposed,
    cell,
    embed,
    gates,
    load_rows,
    network_output,
    network_step,
    store_rows,
    tanh,
)


@triton.jit
def step_program(
    q, features, embedded, h_old, c_old, h_new, c_new, output, N,
    F: tl.constexpr, E: tl.constexpr, H: tl.constexpr, LAYERS: tl.constexpr, BOUNDED: tl.constexpr,
    UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of all layers; c_new may be c_old, and h_new may be h_old where H <= UNITS.

    `embedded` [E, N] is room for the embedding's outputs.
    """
    N = tl.cast(N, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    y = network_step(
        q, features, embedded, h_old, c_old, h_new, c_new, n, N, F, E, H, LAYERS, BOUNDED, UNITS, DEPTH, BLOCK
    )
    tl.store(output + n, y, mask=n < N)


@triton.jit
def relative_program(
    q, numbers, of_m, of_v, rest1, beta2, rest2, eps, grads, m, v, features, embedded,
    h_old, c_old, h_new, c_new, rate, theta, P, N,
    FROM_TABLE: tl.constexpr, E: tl.constexpr, H: tl.constexpr, LAYERS: tl.constexpr, BOUNDED: tl.constexpr,
    UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of RNNprop (`optimizers/rnnprop.py` defines it): moments, features, network and params, all in place.

    Args (beyond those of `step_program`):
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
        q, features, embedded, h_old, c_old, h_new, c_new, n, N, 2, E, H, LAYERS, BOUNDED, UNITS, DEPTH, BLOCK
    )
    step = tl.load(rate + n // P, mask=inside, other=0.0) * y
    tl.store(theta + n, tl.load(theta + n, mask=inside, other=0.0) + step, mask=inside)


@triton.jit
def embed_program(
    q, features, embedded, N,
    F: tl.constexpr, E: tl.constexpr, UNITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The embedding's outputs [T, E, N] at every step."""
    N = tl.cast(N, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    t = tl.program_id(1)
    embed(q, features + t * F * N, embedded + t * E * N, n, N, F, E, UNITS)


@triton.jit
def forward_program(
    layer, inputs, h_steps, c_steps, T, N,
    D: tl.constexpr, H: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One layer over a window.

    Args:
        layer: the layer's meta-params.
        inputs: [T, D, N].
        h_steps: [T + 1, H, N] the outputs before the window, and room for those after every step.
        c_steps: [T + 1, H, N] likewise the cell states.
    """
    N = tl.cast(N, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    for t in range(T):
        old = t * H * N
        new = old + H * N
        cell(
            layer, inputs + t * D * N, h_steps + old, c_steps + old, h_steps + new, c_steps + new, n, N,
            D, H, UNITS, DEPTH, BLOCK,
        )  # fmt: skip


@triton.jit
def output_program(
    out, h, output, N,
    H: tl.constexpr, BOUNDED: tl.constexpr, UNITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The network's outputs [T, N] from those of its top layer [T, H, N]."""
    N = tl.cast(N, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    t = tl.program_id(1)
    y = network_output(out, h + t * H * N, n, N, H, BOUNDED, UNITS, BLOCK)
    tl.store(output + t * N + n, y, mask=n < N)


@triton.jit
def backward_program(
    layer, inputs, h_steps, c_steps, above, carried, gate_grads, below, T, N,
    D: tl.constexpr, H: tl.constexpr, BELOW: tl.constexpr,
    UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One layer backward over a window.

    With h = o tanh(c) and c = f c_old + i g: dc += dh o (1 - tanh(c)^2); sigmoid' = s (1 - s), tanh' = 1 - tanh^2.

    Args (beyond those of `forward_program`):
        above: [T, H, N] gradient with respect to the layer's outputs.
        carried: [H, N] room for the gradient with respect to the cell state.
        gate_grads: [T, 4H, N] receives the gradient with respect to the sums in front of the gates.
        below: [T, D, N] receives the gradient with respect to the inputs, if BELOW.
    """
    N = tl.cast(N, tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    w_hidden = layer + 4 * H * D
    for back in range(T):
        t = T - 1 - back
        here = t * H * N
        d_gates = gate_grads + 4 * here
        later = tl.where(back > 0, 4 * H, 0)  # the last step hears nothing from a later one
        for first in range(0, H, UNITS):
            i, f, g, o = gates(
                layer, inputs + t * D * N, h_steps + here, first, n, N, D, H, UNITS, DEPTH, BLOCK
            )
            c_old = load_rows(c_steps + here, first, H, UNITS, n, N)
            tanh_c = tanh(load_rows(c_steps + here + H * N, first, H, UNITS, n, N))
            dh = load_rows(above + here, first, H, UNITS, n, N)
            dh = add_transposed(dh, w_hidden, d_gates + 4 * H * N, first, later, n, N, H, UNITS, DEPTH, 4 * H)
            dc = dh * o * (1.0 - tanh_c * tanh_c)
            if back > 0:
                dc += load_rows(carried, first, H, UNITS, n, N)
            store_rows(d_gates, first, H, UNITS, n, N, dc * g * i * (1.0 - i))
            store_rows(d_gates + H * N, first, H, UNITS, n, N, dc * c_old * f * (1.0 - f))
            store_rows(d_gates + 2 * H * N, first, H, UNITS, n, N, dc * i * (1.0 - g * g))
            store_rows(d_gates + 3 * H * N, first, H, UNITS, n, N, dh * tanh_c * o * (1.0 - o))
            tl.debug_barrier()  # all threads have read the old `carried`
            store_rows(carried, first, H, UNITS, n, N, dc * f)
        tl.debug_barrier()  # the earlier step reads `d_gates` and `carried`
        if BELOW:
            for first in range(0, D, UNITS):
                dx = tl.zeros((UNITS, BLOCK), tl.float32)
                dx = add_transposed(dx, layer, d_gates, first, 4 * H, n, N, D, UNITS, DEPTH, 4 * H)
                store_rows(below + t * D * N, first, D, UNITS, n, N, dx)


@triton.jit
def outer_program(
    left, right, partial, Q, product_start, sum_start, T, N,
    R: tl.constexpr, S: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A program's part of sum_{t,n} left[t, :, n] right[t, :, n]^T, and of sum_{t,n} left[t, :, n].

    Args:
        left: [T, R, N].
        right: [T, S, N].
        partial: [programs, Q]; row p receives program p's part of the product [R, S] at product_start, and of the
            sum [R] at sum_start.
    """
    N = tl.cast(N, tl.int64)
    program = tl.program_id(0)
    first_row = tl.program_id(1) * ROWS
    first_column = tl.program_id(2) * COLUMNS
    s = first_column + tl.arange(0, COLUMNS)[None, :]
    product = tl.zeros((ROWS, COLUMNS), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    blocks = tl.cdiv(N, BLOCK)
    for index in range(program, T * blocks, tl.num_programs(0)):
        t = index // blocks
        n = (index % blocks).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        left_tile = load_rows(left + t * R * N, first_row, R, ROWS, n, N)
        right_tile = tl.load(  # transposed as it is loaded
            right + t * S * N + s * N + n[:, None], mask=(s < S) & (n[:, None] < N), other=0.0
        )
        product = tl.dot(left_tile, right_tile, acc=product, input_precision="ieee")
        total += tl.sum(left_tile, axis=1)
    mine = partial + program.to(tl.int64) * Q
    r = first_row + tl.arange(0, ROWS)
    tl.store(mine + product_start + r[:, None] * S + s, product, mask=(r[:, None] < R) & (s < S))
    if tl.program_id(2) == 0:
        tl.store(mine + sum_start + r, total, mask=r < R)
