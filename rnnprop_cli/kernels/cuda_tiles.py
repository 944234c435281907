"""Pieces of the Triton programs in `cuda_kernels.py`.

A tile is [BLOCK, columns] with coordinates as rows; `n` are their numbers and N how many there are, both 64 bits wide:
offsets of a large model pass 2^31. At most 16 hidden units are worked on at a time (4 where no more are left) and DEPTH
terms of a product, so that a program's registers and shared memory do not grow with the network, and 20 units cost what
20 cost and not what 32 do. The other letters are those of `cuda_kernels.py`.
"""

# mypy: ignore-errors
# Annotations of these functions are read by triton, which knows tl.constexpr and nothing else.

import triton
import triton.language as tl

# Of a step's products: on matrix units, in three products of TF32 that together have float32's accuracy.
STEP_PRECISION = tl.constexpr("tf32x3")
UNITS = tl.constexpr(16)  # hidden units at a time
IN_TWO = tl.constexpr(32)  # units that are worked on in two parts, both in registers


@triton.jit
def tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0  # saturates cleanly: sigmoid's exp may overflow to infinity


@triton.jit
def load_columns(base, first, columns: tl.constexpr, COLUMNS: tl.constexpr, n, N):
    """[BLOCK, COLUMNS] from row `first` of [columns, N] on, zero where there are no more."""
    u = first + tl.arange(0, COLUMNS)[None, :]
    return tl.load(base + u * N + n[:, None], mask=(u < columns) & (n[:, None] < N), other=0.0)


@triton.jit
def store_columns(base, first, columns: tl.constexpr, COLUMNS: tl.constexpr, n, N, x):
    u = first + tl.arange(0, COLUMNS)[None, :]
    tl.store(base + u * N + n[:, None], x, mask=(u < columns) & (n[:, None] < N))


@triton.jit
def embed(q, features, embedded, n, N, F: tl.constexpr, E: tl.constexpr):
    """Writes elu(W features + b) [E, BLOCK]."""
    for first in range(0, E, UNITS):
        e = first + tl.arange(0, UNITS)
        z = tl.load(q + E * F + e, mask=e < E, other=0.0)[None, :]
        for f in tl.static_range(F):
            weight = tl.load(q + e * F + f, mask=e < E, other=0.0)
            z += weight[None, :] * tl.load(features + f * N + n, mask=n < N, other=0.0)[:, None]
        store_columns(embedded, first, E, UNITS, n, N, tl.where(z > 0, z, tl.exp(z) - 1.0))


@triton.jit
def load_stacked(x, D: tl.constexpr, h, H: tl.constexpr, start, DEPTH: tl.constexpr, n, N):
    """[BLOCK, DEPTH] from row `start` on of x [D, N] with h [H, N] below it; zero behind both."""
    k = start + tl.arange(0, DEPTH)[None, :]
    row = tl.where(k < D, x + k * N, h + (k - D) * N)
    return tl.load(row + n[:, None], mask=(k < D + H) & (n[:, None] < N), other=0.0)


@triton.jit
def gates(
    layer, x, h, first, n, N,
    D: tl.constexpr, H: tl.constexpr, PART: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The four gates [BLOCK, PART] of the units from `first` on; `layer` points at the layer's meta-params.

    These are weights [4H, D] of the inputs, weights [4H, H] of the outputs and biases [4H]. It is one product, of
    D + H terms and 4 PART columns, in which the gates of a unit are neighbours.
    """
    column = tl.arange(0, 4 * PART)[None, :]
    unit = first + column // 4
    row = column % 4 * H + unit
    z = tl.load(layer + 4 * H * (D + H) + row, mask=unit < H, other=0.0) + tl.zeros(
        (BLOCK, 4 * PART), tl.float32
    )
    for start in range(0, D + H, DEPTH):
        k = start + tl.arange(0, DEPTH)[:, None]
        x_tile = load_stacked(x, D, h, H, start, DEPTH, n, N)
        at = tl.where(k < D, row * D + k, 4 * H * D + row * H + (k - D))
        weight = tl.load(layer + at, mask=(unit < H) & (k < D + H), other=0.0)
        z = tl.dot(x_tile, weight, acc=z, input_precision=STEP_PRECISION)
    even, odd = tl.split(tl.reshape(z, (BLOCK, PART, 2, 2)))
    i, g = tl.split(even)
    f, o = tl.split(odd)
    return tl.sigmoid(i), tl.sigmoid(f), tanh(g), tl.sigmoid(o)


@triton.jit
def part_of_cell(
    layer, x, h_old, c_old, kept, first, n, N,
    D: tl.constexpr, H: tl.constexpr, KEEP: tl.constexpr,
    PART: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Outputs and cell states [BLOCK, PART] after a step."""
    i, f, g, o = gates(layer, x, h_old, first, n, N, D, H, PART, DEPTH, BLOCK)
    if KEEP:
        store_columns(kept, first, H, PART, n, N, i)
        store_columns(kept + H * N, first, H, PART, n, N, f)
        store_columns(kept + 2 * H * N, first, H, PART, n, N, g)
        store_columns(kept + 3 * H * N, first, H, PART, n, N, o)
    c = f * load_columns(c_old, first, H, PART, n, N) + i * g
    return o * tanh(c), c


@triton.jit
def cell(
    layer, x, h_old, c_old, h_new, c_new, kept, n, N,
    D: tl.constexpr, H: tl.constexpr, KEEP: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of one layer. c_new may be c_old; h_new may be h_old only where H <= IN_TWO.

    `kept` [4H, N] receives the gates, if KEEP.
    """
    if H <= IN_TWO:
        REST: tl.constexpr = 16 if H > 24 else (8 if H > 20 else 4)
        h, c = part_of_cell(layer, x, h_old, c_old, kept, 0, n, N, D, H, KEEP, UNITS, DEPTH, BLOCK)
        if H > UNITS:
            more_h, more_c = part_of_cell(
                layer, x, h_old, c_old, kept, UNITS, n, N, D, H, KEEP, REST, DEPTH, BLOCK
            )
        tl.debug_barrier()  # all threads have read what may be overwritten now
        store_columns(h_new, 0, H, UNITS, n, N, h)
        store_columns(c_new, 0, H, UNITS, n, N, c)
        if H > UNITS:
            store_columns(h_new, UNITS, H, REST, n, N, more_h)
            store_columns(c_new, UNITS, H, REST, n, N, more_c)
    else:
        for first in range(0, H, UNITS):
            h, c = part_of_cell(layer, x, h_old, c_old, kept, first, n, N, D, H, KEEP, UNITS, DEPTH, BLOCK)
            tl.debug_barrier()
            store_columns(h_new, first, H, UNITS, n, N, h)
            store_columns(c_new, first, H, UNITS, n, N, c)
    tl.debug_barrier()  # other threads read it next


@triton.jit
def network_output(out, h, n, N, H: tl.constexpr, BOUNDED: tl.constexpr, BLOCK: tl.constexpr):
    """w_out h + b_out [BLOCK], behind a tanh if BOUNDED."""
    x_out = tl.zeros((BLOCK,), tl.float32) + tl.load(out + H)
    for first in range(0, H, UNITS):
        u = first + tl.arange(0, UNITS)
        weight = tl.load(out + u, mask=u < H, other=0.0)
        x_out += tl.sum(weight[None, :] * load_columns(h, first, H, UNITS, n, N), axis=1)
    if BOUNDED:
        x_out = tanh(x_out)
    return x_out


@triton.jit
def network_step(
    q, features, embedded, h_old, c_old, h_new, c_new, kept, n, N,
    F: tl.constexpr, E: tl.constexpr, H: tl.constexpr, LAYERS: tl.constexpr, BOUNDED: tl.constexpr,
    KEEP: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of all layers [BLOCK]; `step_program` tells what may overwrite what."""
    D: tl.constexpr = E if E > 0 else F
    EMBED_SIZE: tl.constexpr = E * (F + 1)
    x = features
    if E > 0:
        embed(q, features, embedded, n, N, F, E)
        tl.debug_barrier()
        x = embedded
    cell(q + EMBED_SIZE, x, h_old, c_old, h_new, c_new, kept, n, N, D, H, KEEP, DEPTH, BLOCK)
    at = q + EMBED_SIZE + 4 * H * (D + H + 1)
    for layer in tl.static_range(1, LAYERS):
        here = layer * H * N
        cell(
            at, h_new + here - H * N, h_old + here, c_old + here, h_new + here, c_new + here, kept + 4 * here, n, N,
            H, H, KEEP, DEPTH, BLOCK,
        )  # fmt: skip
        at += 4 * H * (2 * H + 1)
    return network_output(at, h_new + (LAYERS - 1) * H * N, n, N, H, BOUNDED, BLOCK)


@triton.jit
def gradients_of_gates(
    here, old, stride, dh, carried_c, d_gates, later, first, n, N, H: tl.constexpr, PART: tl.constexpr
):
    """From the gradient dh [BLOCK, PART] of a step's outputs that of the sums before its gates.

    With h = o tanh(c) and c = f c_old + i g: dc += dh o (1 - tanh(c)^2); sigmoid' = s (1 - s), tanh' = 1 - tanh^2.

    Args:
        here: the step's gates [4H, N].
        old: cell states [H, N] before it; those after it `stride` behind.
        carried_c: [H, N] the gradient with respect to the cell states after it, if `later`; receives that before.
        d_gates: [4H, N] receives the result.
        later: whether there is a later step.
    """
    i = load_columns(here, first, H, PART, n, N)
    f = load_columns(here + H * N, first, H, PART, n, N)
    g = load_columns(here + 2 * H * N, first, H, PART, n, N)
    o = load_columns(here + 3 * H * N, first, H, PART, n, N)
    c_old = load_columns(old, first, H, PART, n, N)
    tanh_c = tanh(load_columns(old + stride, first, H, PART, n, N))
    dc = dh * o * (1.0 - tanh_c * tanh_c)
    if later:
        dc += load_columns(carried_c, first, H, PART, n, N)
    store_columns(d_gates, first, H, PART, n, N, dc * g * i * (1.0 - i))
    store_columns(d_gates + H * N, first, H, PART, n, N, dc * c_old * f * (1.0 - f))
    store_columns(d_gates + 2 * H * N, first, H, PART, n, N, dc * i * (1.0 - g * g))
    store_columns(d_gates + 3 * H * N, first, H, PART, n, N, dh * tanh_c * o * (1.0 - o))
    tl.debug_barrier()  # all threads have read the old `carried_c`
    store_columns(carried_c, first, H, PART, n, N, dc * f)


@triton.jit
def gradients_below(
    layer, d_gates, carried_h, below, inputs, first, n, N,
    D: tl.constexpr, H: tl.constexpr, BELOW: tl.constexpr, EMBEDDED: tl.constexpr,
    PART: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Through the gates to the outputs of the step before (columns 0 ... H - 1) and, if BELOW, to the inputs (the next
    D): the columns from `first` on."""
    TOTAL: tl.constexpr = H + D if BELOW else H
    j = first + tl.arange(0, PART)[None, :]
    total = tl.zeros((BLOCK, PART), tl.float32)
    for start in range(0, 4 * H, DEPTH):
        k = start + tl.arange(0, DEPTH)[:, None]
        at = tl.where(j < H, 4 * H * D + k * H + j, k * D + (j - H))
        weight = tl.load(layer + at, mask=(j < TOTAL) & (k < 4 * H), other=0.0)
        d = load_columns(d_gates, start, 4 * H, DEPTH, n, N)
        total = tl.dot(d, weight, acc=total, input_precision="ieee")
    inside = (j < TOTAL) & (n[:, None] < N)
    if EMBEDDED:
        x = tl.load(inputs + (j - H) * N + n[:, None], mask=inside & (j >= H), other=1.0)
        total *= tl.where(x > 0.0, 1.0, x + 1.0)  # ELU'(z) = exp(z) = x + 1 for z <= 0
    row = tl.where(j < H, carried_h + j * N, below + (j - H) * N)
    tl.store(row + n[:, None], total, mask=inside)
