"""The paper's convex function as a Triton program (`optimizees/quadratic.py` defines it). Importing
this needs triton."""

# mypy: ignore-errors
# Annotations of these functions are read by triton, which knows tl.constexpr and nothing else.

import triton
import triton.language as tl


@triton.jit
def quadratic_program(
    thetas, targets, factors, loss, grads, theta_stride, per_seed, P, clip,
    SCALED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """mean_i min((x_i - v_i)^2, clip) of a cell, and its gradient.

    Args:
        thetas: [C, P], rows `theta_stride` apart: x, or what makes x when multiplied with its factors if SCALED.
        targets: [seeds, P] v.
        factors: [seeds, P].
        loss: [C].
        grads: [C, P] with respect to `thetas`.
        per_seed: cells of a seed.
        P: at most BLOCK.
    """
    cell = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    inside = i < P
    own = cell // per_seed * P + i
    x = tl.load(thetas + cell * theta_stride + i, mask=inside, other=0.0)
    if SCALED:
        factor = tl.load(factors + own, mask=inside, other=0.0)
        x *= factor
    distance = x - tl.load(targets + own, mask=inside, other=0.0)
    square = distance * distance
    gradient = tl.where(square > clip, 0.0, distance * (2.0 / P))  # in this order NaN stays NaN
    if SCALED:
        gradient *= factor
    tl.store(grads + cell * P + i, gradient, mask=inside)
    bounded = tl.where(square > clip, clip, square)
    tl.store(loss + cell, tl.sum(tl.where(inside, bounded, 0.0), axis=0) / P)
