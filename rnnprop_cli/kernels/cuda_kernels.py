"""Triton programs of the CUDA body. Importing this module needs triton; `cuda.py` does not.

A program works on BLOCK coordinates. Vectors of a coordinate are columns of tiles [rows, BLOCK], whose rows are
padded with zeros to a power of two; padded units stay exactly zero in both directions, because their weights,
inputs and states are zero. Products are float32 throughout ("ieee"): TF32 misses the accuracy that
meta-gradients need.

The window goes layer by layer, each over all of its steps: only one layer's state (or gradient of it) is carried in
registers, and one layer's weight gradient summed in them. Outputs and cell states of a layer pass through memory;
gates are computed again in the backward direction rather than stored.

Letters: N coordinates, T steps, F features, E embedding width, H hidden units, D inputs of a layer;
P behind a letter is its padded size.
"""

# mypy: ignore-errors
# Annotations of these functions are read by triton, which knows tl.constexpr and nothing else.

import triton
import triton.language as tl

from rnnprop_cli.kernels.cuda_tiles import (
    add_gate,
    embed,
    gates,
    load_features,
    load_rows,
    load_vector,
    network_output,
    store_gate,
    store_rows,
    tanh,
)


@triton.jit
def step_program(
    q,
    features,
    h_old,
    c_old,
    h_new,
    c_new,
    output,
    N,
    F: tl.constexpr,
    E: tl.constexpr,
    H: tl.constexpr,
    LAYERS: tl.constexpr,
    FP: tl.constexpr,
    DP: tl.constexpr,
    HP: tl.constexpr,
    BOUNDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One step of all layers for BLOCK coordinates; h_new and c_new may be h_old and c_old."""
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    D0: tl.constexpr = E if E > 0 else F
    EMBED_SIZE: tl.constexpr = E * (F + 1)
    if E > 0:  # noqa: SIM108 (the two are of different shapes)
        x = embed(q, load_features(features, F, FP, n, N), F, E, FP, DP)
    else:
        x = load_rows(features, N, F, DP, n, N)
    for layer in tl.static_range(LAYERS):
        state = layer * H * N
        h = load_rows(h_old + state, N, H, HP, n, N)
        c = load_rows(c_old + state, N, H, HP, n, N)
        if layer == 0:
            i, f, g, o = gates(q + EMBED_SIZE, x, h, D0, H, DP, HP)
        else:
            at = q + EMBED_SIZE + 4 * H * (D0 + H + 1) + (layer - 1) * 4 * H * (2 * H + 1)
            i, f, g, o = gates(at, x, h, H, H, HP, HP)
        c = f * c + i * g
        x = o * tanh(c)
        store_rows(h_new + state, N, H, HP, n, N, x)
        store_rows(c_new + state, N, H, HP, n, N, c)
    q_out = q + EMBED_SIZE + 4 * H * (D0 + H + 1) + (LAYERS - 1) * 4 * H * (2 * H + 1)
    tl.store(output + n, network_output(q_out, x, H, HP, BOUNDED), mask=n < N)


@triton.jit
def forward_program(
    q,
    layer,
    inputs,
    h_start,
    c_start,
    h_steps,
    c_steps,
    T,
    N,
    F: tl.constexpr,
    E: tl.constexpr,
    D: tl.constexpr,
    H: tl.constexpr,
    FP: tl.constexpr,
    DP: tl.constexpr,
    HP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One layer over a window: writes h and c [T, H, N] after every step.

    `inputs` are the outputs [T, H, N] of the layer below, or for the first one (F > 0) the features [T, F, N].
    """
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    h = load_rows(h_start, N, H, HP, n, N)
    c = load_rows(c_start, N, H, HP, n, N)
    for t in range(T):
        if E > 0:
            x = embed(q, load_features(inputs + t * F * N, F, FP, n, N), F, E, FP, DP)
        else:
            x = load_rows(inputs + t * D * N, N, D, DP, n, N)
        i, f, g, o = gates(layer, x, h, D, H, DP, HP)
        c = f * c + i * g
        h = o * tanh(c)
        store_rows(h_steps + t * H * N, N, H, HP, n, N, h)
        store_rows(c_steps + t * H * N, N, H, HP, n, N, c)


@triton.jit
def backward_program(
    q,
    layer_start,
    out_start,
    inputs,
    h_start,
    c_start,
    h_steps,
    c_steps,
    grad_above,
    grad_below,
    partial,
    Q,
    T,
    N,
    F: tl.constexpr,
    E: tl.constexpr,
    D: tl.constexpr,
    H: tl.constexpr,
    FP: tl.constexpr,
    DP: tl.constexpr,
    HP: tl.constexpr,
    TOP: tl.constexpr,
    BELOW: tl.constexpr,
    BOUNDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One layer backward over a window, for several blocks of coordinates in turn.

    Args (beyond those of `forward_program`):
        grad_above: for the top layer the gradient with respect to the outputs [T, N], else with
            respect to this layer's h [T, H, N].
        grad_below: [T, D, N] receives the gradient with respect to the layer's inputs, if BELOW.
        partial: [programs, Q] receives this program's sums, in the places of this layer's meta-params (and those of
            the output for the top layer, of the embedding for the first).
    """
    pid = tl.program_id(0)
    layer = q + layer_start
    wx_i = tl.zeros((HP, DP), tl.float32)
    wx_f = tl.zeros((HP, DP), tl.float32)
    wx_g = tl.zeros((HP, DP), tl.float32)
    wx_o = tl.zeros((HP, DP), tl.float32)
    wh_i = tl.zeros((HP, HP), tl.float32)
    wh_f = tl.zeros((HP, HP), tl.float32)
    wh_g = tl.zeros((HP, HP), tl.float32)
    wh_o = tl.zeros((HP, HP), tl.float32)
    b_i = tl.zeros((HP,), tl.float32)
    b_f = tl.zeros((HP,), tl.float32)
    b_g = tl.zeros((HP,), tl.float32)
    b_o = tl.zeros((HP,), tl.float32)
    w_out = tl.zeros((HP,), tl.float32)
    b_out = tl.zeros((BLOCK,), tl.float32)
    w_embed = tl.zeros((DP, FP), tl.float32)

    for block in range(pid, tl.cdiv(N, BLOCK), tl.num_programs(0)):
        n = block * BLOCK + tl.arange(0, BLOCK)
        dh = tl.zeros((HP, BLOCK), tl.float32)
        dc = tl.zeros((HP, BLOCK), tl.float32)
        for back in range(T):
            t = T - 1 - back
            features = tl.zeros((FP, BLOCK), tl.float32)
            if E > 0:
                features = load_features(inputs + t * F * N, F, FP, n, N)
                x = embed(q, features, F, E, FP, DP)
            else:
                x = load_rows(inputs + t * D * N, N, D, DP, n, N)
            if t > 0:
                h_old = load_rows(h_steps + (t - 1) * H * N, N, H, HP, n, N)
                c_old = load_rows(c_steps + (t - 1) * H * N, N, H, HP, n, N)
            else:
                h_old = load_rows(h_start, N, H, HP, n, N)
                c_old = load_rows(c_start, N, H, HP, n, N)
            i, f, g, o = gates(layer, x, h_old, D, H, DP, HP)
            tanh_c = tanh(f * c_old + i * g)
            if TOP:
                h = o * tanh_c
                grad = tl.load(grad_above + t * N + n, mask=n < N, other=0.0)
                if BOUNDED:
                    y = network_output(q + out_start, h, H, HP, True)
                    grad = grad * (1.0 - y * y)
                dh += load_vector(q + out_start, H, HP)[:, None] * grad[None, :]
                w_out += tl.sum(h * grad[None, :], axis=1)
                b_out += grad
            else:
                dh += load_rows(grad_above + t * H * N, N, H, HP, n, N)
            dc += dh * o * (1.0 - tanh_c * tanh_c)
            d_i = dc * g * i * (1.0 - i)
            d_f = dc * c_old * f * (1.0 - f)
            d_g = dc * i * (1.0 - g * g)
            d_o = dh * tanh_c * o * (1.0 - o)
            dc = dc * f

            x_t = tl.trans(x)
            h_t = tl.trans(h_old)
            wx_i = tl.dot(d_i, x_t, acc=wx_i, input_precision="ieee")
            wx_f = tl.dot(d_f, x_t, acc=wx_f, input_precision="ieee")
            wx_g = tl.dot(d_g, x_t, acc=wx_g, input_precision="ieee")
            wx_o = tl.dot(d_o, x_t, acc=wx_o, input_precision="ieee")
            wh_i = tl.dot(d_i, h_t, acc=wh_i, input_precision="ieee")
            wh_f = tl.dot(d_f, h_t, acc=wh_f, input_precision="ieee")
            wh_g = tl.dot(d_g, h_t, acc=wh_g, input_precision="ieee")
            wh_o = tl.dot(d_o, h_t, acc=wh_o, input_precision="ieee")
            b_i += tl.sum(d_i, axis=1)
            b_f += tl.sum(d_f, axis=1)
            b_g += tl.sum(d_g, axis=1)
            b_o += tl.sum(d_o, axis=1)

            dx = tl.zeros((DP, BLOCK), tl.float32)
            dh = tl.zeros((HP, BLOCK), tl.float32)
            dx, dh = add_gate(layer, 0, d_i, dx, dh, D, H, DP, HP)
            dx, dh = add_gate(layer, 1, d_f, dx, dh, D, H, DP, HP)
            dx, dh = add_gate(layer, 2, d_g, dx, dh, D, H, DP, HP)
            dx, dh = add_gate(layer, 3, d_o, dx, dh, D, H, DP, HP)
            if BELOW:
                store_rows(grad_below + t * D * N, N, D, DP, n, N, dx)
            if E > 0:
                dz = dx * tl.where(x > 0, 1.0, x + 1.0)  # elu'(z) = exp(z) = x + 1 for z <= 0
                w_embed = tl.dot(dz, tl.trans(features), acc=w_embed, input_precision="ieee")

    mine = partial + pid.to(tl.int64) * Q
    store_gate(mine + layer_start, 0, wx_i, wh_i, b_i, D, H, DP, HP)
    store_gate(mine + layer_start, 1, wx_f, wh_f, b_f, D, H, DP, HP)
    store_gate(mine + layer_start, 2, wx_g, wh_g, b_g, D, H, DP, HP)
    store_gate(mine + layer_start, 3, wx_o, wh_o, b_o, D, H, DP, HP)
    if TOP:
        r = tl.arange(0, HP)
        tl.store(mine + out_start + r, w_out, mask=r < H)
        tl.store(mine + out_start + H, tl.sum(b_out, axis=0))
    if E > 0:
        e = tl.arange(0, DP)[:, None]
        k = tl.arange(0, FP)[None, :]
        tl.store(mine + e * F + k, w_embed, mask=(e < E) & (k < F))
        tl.store(mine + E * F + e + 0 * k, w_embed, mask=(e < E) & (k == F))
