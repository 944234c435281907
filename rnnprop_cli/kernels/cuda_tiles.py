"""Pieces of the Triton programs in `cuda_kernels.py`.

A tile is [rows, BLOCK] with coordinates as columns; `n` are their numbers and N how many there are, both 64 bits wide:
offsets of a large model pass 2^31. UNITS hidden units are worked on at a time and DEPTH terms of a product, so that a
program's registers and shared memory do not grow with the network. The other letters are those of `cuda_kernels.py`.
"""

# mypy: ignore-errors
# Annotations of these functions are read by triton, which knows tl.constexpr and nothing else.

import triton
import triton.language as tl

PRECISION = tl.constexpr("ieee")  # of products


@triton.jit
def tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0  # saturates cleanly: sigmoid's exp may overflow to infinity


@triton.jit
def load_rows(base, first, rows: tl.constexpr, ROWS: tl.constexpr, n, N):
    """[ROWS, BLOCK] from row `first` on, zero where there are no more than `rows`."""
    r = first + tl.arange(0, ROWS)[:, None]
    return tl.load(base + r * N + n[None, :], mask=(r < rows) & (n[None, :] < N), other=0.0)


@triton.jit
def store_rows(base, first, rows: tl.constexpr, ROWS: tl.constexpr, n, N, x):
    r = first + tl.arange(0, ROWS)[:, None]
    tl.store(base + r * N + n[None, :], x, mask=(r < rows) & (n[None, :] < N))


@triton.jit
def embed(q, features, embedded, n, N, F: tl.constexpr, E: tl.constexpr, UNITS: tl.constexpr):
    """Writes elu(W features + b) [E, BLOCK]."""
    for first in range(0, E, UNITS):
        e = first + tl.arange(0, UNITS)
        z = tl.load(q + E * F + e, mask=e < E, other=0.0)[:, None]
        for f in tl.static_range(F):
            weight = tl.load(q + e * F + f, mask=e < E, other=0.0)
            z += weight[:, None] * tl.load(features + f * N + n, mask=n < N, other=0.0)[None, :]
        store_rows(embedded, first, E, UNITS, n, N, tl.where(z > 0, z, tl.exp(z) - 1.0))


@triton.jit
def bias_tile(bias, first, H: tl.constexpr, UNITS: tl.constexpr, BLOCK: tl.constexpr):
    u = first + tl.arange(0, UNITS)
    return tl.load(bias + u, mask=u < H, other=0.0)[:, None] + tl.zeros((UNITS, BLOCK), tl.float32)


@triton.jit
def load_stacked(x, D: tl.constexpr, h, H: tl.constexpr, start, DEPTH: tl.constexpr, n, N):
    """[DEPTH, BLOCK] from row `start` on of x [D, N] with h [H, N] below it; zero behind both."""
    k = start + tl.arange(0, DEPTH)[:, None]
    row = tl.where(k < D, x + k * N, h + (k - D) * N)
    return tl.load(row + n[None, :], mask=(k < D + H) & (n[None, :] < N), other=0.0)


@triton.jit
def gates(
    layer, x, h, first, n, N,
    D: tl.constexpr, H: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The four gates [UNITS, BLOCK] of the units from `first` on; `layer` points at the layer's meta-params.

    These are weights [4H, D] of the inputs, weights [4H, H] of the outputs and biases [4H]: the two products are taken
    as one, of D + H terms.
    """
    bias = layer + 4 * H * (D + H)
    i = bias_tile(bias, first, H, UNITS, BLOCK)
    f = bias_tile(bias + H, first, H, UNITS, BLOCK)
    g = bias_tile(bias + 2 * H, first, H, UNITS, BLOCK)
    o = bias_tile(bias + 3 * H, first, H, UNITS, BLOCK)
    u = first + tl.arange(0, UNITS)[:, None]
    for start in range(0, D + H, DEPTH):
        k = start + tl.arange(0, DEPTH)[None, :]
        x_tile = load_stacked(x, D, h, H, start, DEPTH, n, N)
        inside = (u < H) & (k < D + H)
        at = layer + tl.where(k < D, u * D + k, 4 * H * D + u * H + (k - D))
        row = tl.where(k < D, H * D, H * H)  # from a gate to the next
        i = tl.dot(tl.load(at, mask=inside, other=0.0), x_tile, acc=i, input_precision=PRECISION)
        f = tl.dot(tl.load(at + row, mask=inside, other=0.0), x_tile, acc=f, input_precision=PRECISION)
        g = tl.dot(tl.load(at + 2 * row, mask=inside, other=0.0), x_tile, acc=g, input_precision=PRECISION)
        o = tl.dot(tl.load(at + 3 * row, mask=inside, other=0.0), x_tile, acc=o, input_precision=PRECISION)
    return tl.sigmoid(i), tl.sigmoid(f), tanh(g), tl.sigmoid(o)


@triton.jit
def cell(
    layer, x, h_old, c_old, h_new, c_new, kept, n, N,
    D: tl.constexpr, H: tl.constexpr, KEEP: tl.constexpr,
    UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of one layer. c_new may be c_old; h_new may be h_old only where H <= UNITS.

    `kept` [4H, N] receives the gates, if KEEP.
    """
    for first in range(0, H, UNITS):
        i, f, g, o = gates(layer, x, h_old, first, n, N, D, H, UNITS, DEPTH, BLOCK)
        c = f * load_rows(c_old, first, H, UNITS, n, N) + i * g
        if KEEP:
            store_rows(kept, first, H, UNITS, n, N, i)
            store_rows(kept + H * N, first, H, UNITS, n, N, f)
            store_rows(kept + 2 * H * N, first, H, UNITS, n, N, g)
            store_rows(kept + 3 * H * N, first, H, UNITS, n, N, o)
        tl.debug_barrier()  # all threads have read what may be overwritten now
        store_rows(h_new, first, H, UNITS, n, N, o * tanh(c))
        store_rows(c_new, first, H, UNITS, n, N, c)
    tl.debug_barrier()  # other threads read it next


@triton.jit
def transposed_product(
    weight, d, first, n, N,
    COLUMNS: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """[UNITS, BLOCK] the columns from `first` on of weight [ROWS, COLUMNS], transposed, times d [ROWS, N]."""
    total = tl.zeros((UNITS, BLOCK), tl.float32)
    u = first + tl.arange(0, UNITS)[:, None]
    for start in range(0, ROWS, DEPTH):
        k = start + tl.arange(0, DEPTH)[None, :]
        tile = tl.load(weight + k * COLUMNS + u, mask=(u < COLUMNS) & (k < ROWS), other=0.0)
        total = tl.dot(tile, load_rows(d, start, ROWS, DEPTH, n, N), acc=total, input_precision=PRECISION)
    return total


@triton.jit
def network_output(
    out, h, n, N, H: tl.constexpr, BOUNDED: tl.constexpr, UNITS: tl.constexpr, BLOCK: tl.constexpr
):
    """w_out h + b_out [BLOCK], behind a tanh if BOUNDED."""
    x_out = tl.zeros((BLOCK,), tl.float32) + tl.load(out + H)
    for first in range(0, H, UNITS):
        u = first + tl.arange(0, UNITS)
        weight = tl.load(out + u, mask=u < H, other=0.0)
        x_out += tl.sum(weight[:, None] * load_rows(h, first, H, UNITS, n, N), axis=0)
    if BOUNDED:
        x_out = tanh(x_out)
    return x_out


@triton.jit
def network_step(
    q, features, embedded, h_old, c_old, h_new, c_new, kept, n, N,
    F: tl.constexpr, E: tl.constexpr, H: tl.constexpr, LAYERS: tl.constexpr, BOUNDED: tl.constexpr,
    KEEP: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of all layers [BLOCK]; `step_program` tells what may overwrite what."""
    D: tl.constexpr = E if E > 0 else F
    EMBED_SIZE: tl.constexpr = E * (F + 1)
    x = features
    if E > 0:
        embed(q, features, embedded, n, N, F, E, UNITS)
        tl.debug_barrier()
        x = embedded
    cell(q + EMBED_SIZE, x, h_old, c_old, h_new, c_new, kept, n, N, D, H, KEEP, UNITS, DEPTH, BLOCK)
    at = q + EMBED_SIZE + 4 * H * (D + H + 1)
    for layer in tl.static_range(1, LAYERS):
        here = layer * H * N
        cell(
            at, h_new + here - H * N, h_old + here, c_old + here, h_new + here, c_new + here, kept + 4 * here, n, N,
            H, H, KEEP, UNITS, DEPTH, BLOCK,
        )  # fmt: skip
        at += 4 * H * (2 * H + 1)
    return network_output(at, h_new + (LAYERS - 1) * H * N, n, N, H, BOUNDED, UNITS, BLOCK)
