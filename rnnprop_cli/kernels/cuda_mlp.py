"""Loss and gradient of a multilayer perceptron as Triton programs (`optimizees/mlp.py` defines them). Importing
this needs triton.

The first goes forward and backward through BLOCK examples of a cell, and keeps of every layer what the second makes the
gradient of: it takes ROWS rows of a weight matrix and sums over all examples in their order. Nothing is added by atomic
operations, so the same launch gives the same bits.

What is kept lies [C, layers, M, UNITS]: UNITS columns hold any layer's, those beyond its width being zero in `deltas`.

Letters: C cells, M examples, D pixels, H units of every hidden layer, P coordinates; a layer's weights
[inputs, W] and biases [W] lie one behind the other in the flat vector.
"""

# mypy: ignore-errors
# Annotations of these functions are read by triton, which knows tl.constexpr and nothing else.

import triton
import triton.language as tl

from rnnprop_cli.kernels.cuda_tiles import tanh


@triton.jit
def activate(z, ACTIVATION: tl.constexpr):
    if ACTIVATION == "sigmoid":
        a = tl.sigmoid(z)
    elif ACTIVATION == "tanh":
        a = tanh(z)
    elif ACTIVATION == "relu":
        a = tl.where(z < 0.0, 0.0, z)  # in this order NaN stays NaN
    else:
        tl.static_assert(ACTIVATION == "elu")
        a = tl.where(z > 0.0, z, tl.exp(z) - 1.0)
    return a


@triton.jit
def slope(a, ACTIVATION: tl.constexpr):
    """The activation's derivative where it gave a."""
    if ACTIVATION == "sigmoid":
        s = a * (1.0 - a)
    elif ACTIVATION == "tanh":
        s = 1.0 - a * a
    elif ACTIVATION == "relu":
        s = tl.where(a > 0.0, 1.0, 0.0)
    else:
        tl.static_assert(ACTIVATION == "elu")
        s = tl.where(a > 0.0, 1.0, a + 1.0)
    return s


@triton.jit
def pixel_tile(pixels, image, inside, first, scale, shift, D: tl.constexpr, COLUMNS: tl.constexpr):
    """[examples, COLUMNS] inputs from pixel `first` on; zero where there are none."""
    d = first + tl.arange(0, COLUMNS)[None, :]
    there = inside[:, None] & (d < D)
    x = tl.load(pixels + image[:, None] * D + d, mask=there, other=0).to(tl.float32)
    return tl.where(there, x * scale + shift, 0.0)


@triton.jit
def weights(theta, factors, at, inside, SCALED: tl.constexpr):
    """The weights at these places, each times its factor if SCALED."""
    w = tl.load(theta + at, mask=inside, other=0.0)
    if SCALED:
        w *= tl.load(factors + at, mask=inside, other=0.0)
    return w


@triton.jit
def layer_above(
    a, theta, factors, at, SCALED: tl.constexpr,
    H: tl.constexpr, W: tl.constexpr, UNITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Inputs to the activation [BLOCK, UNITS] of W units above H with the outputs a; their weights begin at `at`."""
    u, k = tl.arange(0, UNITS)[None, :], tl.arange(0, UNITS)[:, None]
    tile = weights(theta, factors, at + k * W + u, (k < H) & (u < W), SCALED)
    bias = weights(theta, factors, at + H * W + u, u < W, SCALED) + tl.zeros((BLOCK, UNITS), tl.float32)
    return tl.dot(a, tile, acc=bias, input_precision="ieee")


@triton.jit
def layer_below(
    delta, theta, factors, at, SCALED: tl.constexpr,
    H: tl.constexpr, W: tl.constexpr, UNITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Derivatives [BLOCK, UNITS] with respect to the outputs of the H units below W."""
    u, k = tl.arange(0, UNITS)[None, :], tl.arange(0, UNITS)[:, None]
    tile = weights(theta, factors, at + u * W + k, (k < W) & (u < H), SCALED)
    return tl.dot(delta, tile, acc=tl.zeros((BLOCK, UNITS), tl.float32), input_precision="ieee")


@triton.jit
def first_sums(
    z, pixels, image, inside, theta, factors, first, end, scale, shift,
    SCALED: tl.constexpr, D: tl.constexpr, W: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """z [BLOCK, UNITS] and what the pixels first ... end - 1 add to the inputs of the W units above them."""
    u = tl.arange(0, UNITS)[None, :]
    for start in range(first, end, DEPTH):
        d = start + tl.arange(0, DEPTH)[:, None]
        weight = weights(theta, factors, d * W + u, (d < D) & (u < W), SCALED)
        x = pixel_tile(pixels, image, inside, start, scale, shift, D, DEPTH)
        z = tl.dot(x, weight, acc=z, input_precision="ieee")
    return z


@triton.jit
def pixels_program(
    pixels, index, thetas, factors, sums, index_stride, theta_stride, per_seed, M, P, blocks, scale, shift,
    D: tl.constexpr, W: tl.constexpr, SCALED: tl.constexpr, PIECES: tl.constexpr, PIXELS: tl.constexpr,
    UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """What PIXELS pixels of BLOCK examples add to the first layer: of a single cell it is many programs' work.

    Args (beyond those of `examples_program`):
        sums: [C, PIECES, M, UNITS] receives it.
    """
    pid = tl.program_id(0)
    piece = pid % PIECES
    block = pid // PIECES
    cell = (block // blocks).to(tl.int64)
    m = (block % blocks) * BLOCK + tl.arange(0, BLOCK)
    inside = m < M
    seed = cell // per_seed
    image = tl.load(index + seed * index_stride + m, mask=inside, other=0)
    z = tl.zeros((BLOCK, UNITS), tl.float32)
    first = piece * PIXELS
    z = first_sums(
        z, pixels, image, inside, thetas + cell * theta_stride, factors + seed * P, first, first + PIXELS, scale, shift,
        SCALED, D, W, UNITS, DEPTH,
    )  # fmt: skip
    here = ((cell * PIECES + piece) * M + m)[:, None] * UNITS + tl.arange(0, UNITS)[None, :]
    tl.store(sums + here, z, mask=inside[:, None])


@triton.jit
def examples_program(
    pixels, index, labels, thetas, factors, sums, acts, deltas, losses, index_stride, theta_stride, per_seed, M, P,
    blocks, scale, shift,
    D: tl.constexpr, H: tl.constexpr, CLASSES: tl.constexpr, HIDDEN: tl.constexpr, ACTIVATION: tl.constexpr,
    SCALED: tl.constexpr, PIECES: tl.constexpr, GRADIENT: tl.constexpr,
    UNITS: tl.constexpr, DEPTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """BLOCK examples of a cell: their losses added up, and of every layer its outputs and the loss's derivatives.

    Args:
        pixels: [images, D] uint8.
        index: [seeds, M] int64, rows `index_stride` apart: numbers of the images.
        labels: [images] int64.
        thetas: [C, P], rows `theta_stride` apart.
        factors: [seeds, P] what the coordinates are multiplied with, if SCALED.
        sums: [C, PIECES, M, UNITS] what `pixels_program` found, if there are PIECES.
        acts: [C, HIDDEN, M, UNITS] receives the hidden layers' outputs.
        deltas: [C, HIDDEN + 1, M, UNITS] receives derivatives with respect to the layers' inputs to the activation.
        losses: [C, blocks] receives the sums.
        per_seed: cells of a seed.
    """
    pid = tl.program_id(0)
    cell = (pid // blocks).to(tl.int64)
    m = (pid % blocks) * BLOCK + tl.arange(0, BLOCK)
    inside = m < M
    seed = cell // per_seed
    image = tl.load(index + seed * index_stride + m, mask=inside, other=0)
    u = tl.arange(0, UNITS)
    theta = thetas + cell * theta_stride
    factors += seed * P
    FIRST: tl.constexpr = H if HIDDEN > 0 else CLASSES
    bias = weights(theta, factors, D * FIRST + u, u < FIRST, SCALED)
    z = bias[None, :] + tl.zeros((BLOCK, UNITS), tl.float32)
    if PIECES > 0:
        for piece in range(PIECES):
            here = ((cell * PIECES + piece) * M + m)[:, None] * UNITS + u[None, :]
            z += tl.load(sums + here, mask=inside[:, None], other=0.0)
    else:
        z = first_sums(
            z, pixels, image, inside, theta, factors, 0, D, scale, shift, SCALED, D, FIRST, UNITS, DEPTH
        )
    for layer in tl.static_range(HIDDEN):
        a = activate(z, ACTIVATION)
        if GRADIENT:
            here = ((cell * HIDDEN + layer) * M + m)[:, None] * UNITS + u[None, :]
            tl.store(acts + here, a, mask=inside[:, None])
        at = (D + 1) * H + layer * (H + 1) * H
        z = layer_above(a, theta, factors, at, SCALED, H, H if layer + 1 < HIDDEN else CLASSES, UNITS, BLOCK)
    is_class = u[None, :] < CLASSES
    largest = tl.max(tl.where(is_class, z, float("-inf")), axis=1)
    shifted = tl.where(is_class, z - largest[:, None], float("-inf"))
    share = tl.exp(shifted)
    total = tl.sum(share, axis=1)
    label = tl.load(labels + image, mask=inside, other=0)
    is_label = u[None, :] == label[:, None]
    loss = tl.log(total) - tl.sum(tl.where(is_label, shifted, 0.0), axis=1)
    tl.store(losses + pid, tl.sum(tl.where(inside, loss, 0.0), axis=0))
    if GRADIENT:
        delta = (share / total[:, None] - tl.where(is_label, 1.0, 0.0)) / M
        here = ((cell * (HIDDEN + 1) + HIDDEN) * M + m)[:, None] * UNITS + u[None, :]
        tl.store(deltas + here, delta, mask=inside[:, None])
        tl.debug_barrier()  # other threads have written what is read now
        for back in tl.static_range(HIDDEN):
            at = (D + 1) * H + (HIDDEN - 1 - back) * (H + 1) * H
            delta = layer_below(
                delta, theta, factors, at, SCALED, H, CLASSES if back == 0 else H, UNITS, BLOCK
            )
            here = ((cell * HIDDEN + HIDDEN - 1 - back) * M + m)[:, None] * UNITS + u[None, :]
            delta *= slope(tl.load(acts + here, mask=inside[:, None], other=0.0), ACTIVATION)
            here = ((cell * (HIDDEN + 1) + HIDDEN - 1 - back) * M + m)[:, None] * UNITS + u[None, :]
            tl.store(deltas + here, delta, mask=inside[:, None])


@triton.jit
def store_rows(to, factors, at, inside, total, SCALED: tl.constexpr):
    """Gradients to these places; with respect to what was multiplied with a factor, if SCALED."""
    if SCALED:
        total *= tl.load(factors + at, mask=inside, other=0.0)
    tl.store(to + at, total, mask=inside)


@triton.jit
def pixel_rows(
    pixels, index, deltas, to, factors, first, M, scale, shift,
    SCALED: tl.constexpr, D: tl.constexpr, W: tl.constexpr,
    UNITS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of the first layer's weights from row `first` on, and with the first row its biases'."""
    u = tl.arange(0, UNITS)[None, :]
    total = tl.zeros((ROWS, UNITS), tl.float32)
    of_bias = tl.zeros((1, UNITS), tl.float32)
    for start in range(0, M, BLOCK):
        m = start + tl.arange(0, BLOCK)
        inside = m < M
        image = tl.load(index + m, mask=inside, other=0)
        delta = tl.load(deltas + m[:, None] * UNITS + u, mask=inside[:, None], other=0.0)
        x = pixel_tile(pixels, image, inside, first, scale, shift, D, ROWS)
        total = tl.dot(tl.trans(x), delta, acc=total, input_precision="ieee")
        of_bias += tl.sum(delta, axis=0)[None, :]
    r = first + tl.arange(0, ROWS)[:, None]
    store_rows(to, factors, r * W + u, (r < D) & (u < W), total, SCALED)
    if first == 0:
        store_rows(to, factors, D * W + u, u < W, of_bias, SCALED)


@triton.jit
def unit_rows(
    acts, deltas, to, factors, first, W, M,
    SCALED: tl.constexpr, H: tl.constexpr, UNITS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Likewise of a later layer of W units."""
    u = tl.arange(0, UNITS)[None, :]
    h = first + tl.arange(0, ROWS)[None, :]
    total = tl.zeros((ROWS, UNITS), tl.float32)
    of_bias = tl.zeros((1, UNITS), tl.float32)
    for start in range(0, M, BLOCK):
        m = (start + tl.arange(0, BLOCK))[:, None]
        delta = tl.load(deltas + m * UNITS + u, mask=m < M, other=0.0)
        a = tl.load(acts + m * UNITS + h, mask=(m < M) & (h < H), other=0.0)
        total = tl.dot(tl.trans(a), delta, acc=total, input_precision="ieee")
        of_bias += tl.sum(delta, axis=0)[None, :]
    r = first + tl.arange(0, ROWS)[:, None]
    store_rows(to, factors, r * W + u, (r < H) & (u < W), total, SCALED)
    if first == 0:
        store_rows(to, factors, H * W + u, u < W, of_bias, SCALED)


@triton.jit
def weights_program(
    pixels, index, acts, deltas, losses, factors, loss, grads, index_stride, per_seed, M, P, blocks, pieces,
    scale, shift,
    D: tl.constexpr, H: tl.constexpr, CLASSES: tl.constexpr, HIDDEN: tl.constexpr, SCALED: tl.constexpr,
    UNITS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, LOSSES: tl.constexpr,
):  # fmt: skip
    """ROWS rows of a layer's weights: their gradient; with a layer's first rows its biases', with the cell's its loss.

    Args (beyond those of `examples_program`):
        loss: [C] receives the mean.
        grads: [C, P] receives the gradient.
        blocks: columns of `losses`, at most LOSSES.
        pieces: programs of a cell.
    """
    pid = tl.program_id(0)
    cell = (pid // pieces).to(tl.int64)
    piece = pid % pieces
    OF_PIXELS: tl.constexpr = (D + ROWS - 1) // ROWS
    OF_UNITS: tl.constexpr = (H + ROWS - 1) // ROWS
    FIRST: tl.constexpr = H if HIDDEN > 0 else CLASSES
    to = grads + cell * P
    factors += cell // per_seed * P
    own = deltas + cell * (HIDDEN + 1) * M * UNITS
    if piece < OF_PIXELS:
        pixel_rows(
            pixels, index + cell // per_seed * index_stride, own, to, factors, piece * ROWS, M, scale, shift,
            SCALED, D, FIRST, UNITS, ROWS, BLOCK,
        )  # fmt: skip
    else:
        layer = (piece - OF_PIXELS) // OF_UNITS  # of the hidden ones, whose outputs go in
        at = (D + 1) * H + layer * (H + 1) * H
        width = tl.where(layer + 1 < HIDDEN, H, CLASSES)
        kept = acts + (cell * HIDDEN + layer) * M * UNITS
        first = (piece - OF_PIXELS) % OF_UNITS * ROWS
        delta = own + (layer + 1) * M * UNITS
        unit_rows(kept, delta, to + at, factors + at, first, width, M, SCALED, H, UNITS, ROWS, BLOCK)
    if piece == 0:
        j = tl.arange(0, LOSSES)
        parts = tl.load(losses + cell * blocks + j, mask=j < blocks, other=0.0)
        tl.store(loss + cell, tl.sum(parts, axis=0) / M)
