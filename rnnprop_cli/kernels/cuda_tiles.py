"""Pieces of the Triton programs in `cuda_kernels.py`: loading padded tiles, and one LSTM layer on them.

A tile is [rows, BLOCK] with coordinates as columns; `n` are their numbers and N how many there are. The letters are
those of `cuda_kernels.py`.
"""

# mypy: ignore-errors
# Annotations of these functions are read by triton, which knows tl.constexpr and nothing else.

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0  # saturates cleanly: sigmoid's exp may overflow to infinity


@triton.jit
def load_rows(base, row_stride, rows: tl.constexpr, rows_padded: tl.constexpr, n, N):
    """[rows_padded, BLOCK] from `rows` rows of memory, zero elsewhere."""
    r = tl.arange(0, rows_padded)[:, None]
    return tl.load(base + r * row_stride + n[None, :], mask=(r < rows) & (n[None, :] < N), other=0.0)


@triton.jit
def store_rows(base, row_stride, rows: tl.constexpr, rows_padded: tl.constexpr, n, N, x):
    r = tl.arange(0, rows_padded)[:, None]
    tl.store(base + r * row_stride + n[None, :], x, mask=(r < rows) & (n[None, :] < N))


@triton.jit
def load_matrix(
    base, rows: tl.constexpr, columns: tl.constexpr, rows_padded: tl.constexpr, columns_padded: tl.constexpr
):
    r = tl.arange(0, rows_padded)[:, None]
    k = tl.arange(0, columns_padded)[None, :]
    return tl.load(base + r * columns + k, mask=(r < rows) & (k < columns), other=0.0)


@triton.jit
def load_vector(base, size: tl.constexpr, padded: tl.constexpr):
    r = tl.arange(0, padded)
    return tl.load(base + r, mask=r < size, other=0.0)


@triton.jit
def load_features(base, F: tl.constexpr, FP: tl.constexpr, n, N):
    """[FP, BLOCK]: the features, and a row of ones behind them for the bias."""
    features = load_rows(base, N, F, FP, n, N)
    return tl.where(tl.arange(0, FP)[:, None] == F, 1.0, features)


@triton.jit
def embed(q, features, F: tl.constexpr, E: tl.constexpr, FP: tl.constexpr, EP: tl.constexpr):
    """elu(W features + b) [EP, BLOCK]; `features` carries the row of ones."""
    e = tl.arange(0, EP)[:, None]
    f = tl.arange(0, FP)[None, :]
    weight = tl.load(q + e * F + f, mask=(e < E) & (f < F), other=0.0)
    bias = tl.load(q + E * F + e + 0 * f, mask=(e < E) & (f == F), other=0.0)
    z = tl.dot(weight + bias, features, input_precision="ieee")
    return tl.where(z > 0, z, tl.exp(z) - 1.0)


@triton.jit
def gate_sum(
    layer, gate: tl.constexpr, x, h, D: tl.constexpr, H: tl.constexpr, DP: tl.constexpr, HP: tl.constexpr
):
    """One gate's w_input x + w_hidden h + bias [HP, BLOCK]; `layer` points at the layer's meta-params."""
    w_input = load_matrix(layer + gate * H * D, H, D, HP, DP)
    w_hidden = load_matrix(layer + 4 * H * D + gate * H * H, H, H, HP, HP)
    bias = load_vector(layer + 4 * H * (D + H) + gate * H, H, HP)
    total = tl.dot(w_input, x, input_precision="ieee")
    return tl.dot(w_hidden, h, acc=total, input_precision="ieee") + bias[:, None]


@triton.jit
def gates(layer, x, h, D: tl.constexpr, H: tl.constexpr, DP: tl.constexpr, HP: tl.constexpr):
    i = tl.sigmoid(gate_sum(layer, 0, x, h, D, H, DP, HP))
    f = tl.sigmoid(gate_sum(layer, 1, x, h, D, H, DP, HP))
    g = tanh(gate_sum(layer, 2, x, h, D, H, DP, HP))
    o = tl.sigmoid(gate_sum(layer, 3, x, h, D, H, DP, HP))
    return i, f, g, o


@triton.jit
def network_output(q_out, h, H: tl.constexpr, HP: tl.constexpr, BOUNDED: tl.constexpr):
    x_out = tl.sum(load_vector(q_out, H, HP)[:, None] * h, axis=0) + tl.load(q_out + H)
    if BOUNDED:
        x_out = tanh(x_out)
    return x_out


@triton.jit
def add_gate(
    layer,
    gate: tl.constexpr,
    grad,
    dx,
    dh,
    D: tl.constexpr,
    H: tl.constexpr,
    DP: tl.constexpr,
    HP: tl.constexpr,
):
    """Adds one gate's share to the gradients with respect to x and the old h."""
    w_input = load_matrix(layer + gate * H * D, H, D, HP, DP)
    w_hidden = load_matrix(layer + 4 * H * D + gate * H * H, H, H, HP, HP)
    dx = tl.dot(tl.trans(w_input), grad, acc=dx, input_precision="ieee")
    return dx, tl.dot(tl.trans(w_hidden), grad, acc=dh, input_precision="ieee")


@triton.jit
def store_gate(
    partial, gate: tl.constexpr, w_input, w_hidden, bias,
    D: tl.constexpr, H: tl.constexpr, DP: tl.constexpr, HP: tl.constexpr,
):  # fmt: skip
    u = tl.arange(0, HP)[:, None]
    d = tl.arange(0, DP)[None, :]
    k = tl.arange(0, HP)[None, :]
    tl.store(partial + (gate * H + u) * D + d, w_input, mask=(u < H) & (d < D))
    tl.store(partial + 4 * H * D + (gate * H + u) * H + k, w_hidden, mask=(u < H) & (k < H))
    r = tl.arange(0, HP)
    tl.store(partial + 4 * H * (D + H) + gate * H + r, bias, mask=r < H)
