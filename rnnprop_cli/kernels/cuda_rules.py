"""The classical rules as a Triton program (`optimizers/baselines.py` defines them). Importing this needs triton.

Nothing that changes from step to step is an argument: the coefficients and the schedule's factor are read from memory,
so that a recorded step can be used again.
"""

# mypy: ignore-errors
# Annotations of these functions are read by triton, which knows tl.constexpr and nothing else.

import triton
import triton.language as tl


@triton.jit
def rule_program(
    numbers, lr, grads, slot_a, slot_b, theta, P, blocks,
    RULE: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """theta -= lr[cell] * factor * direction for BLOCK coordinates of a cell; slots and theta are updated.

    Args:
        numbers: the K coefficients in the order of `optimizers/fused.py`, and the factor.
        lr: [C].
        grads: [C, P].
        slot_a: [C, P], unused where the rule has none.
        slot_b: [C, P] likewise.
        theta: [C, P].
    """
    pid = tl.program_id(0)
    cell = (pid // blocks).to(tl.int64)
    n = (pid % blocks) * BLOCK + tl.arange(0, BLOCK)
    inside = n < P
    at = cell * P + n
    rate = tl.load(lr + cell) * tl.load(numbers + K)
    g = tl.load(grads + at, mask=inside, other=0.0)
    param = tl.load(theta + at, mask=inside, other=0.0)
    if RULE == "sgd":
        d = g
    elif RULE == "momentum" or RULE == "nesterov":
        a = tl.load(numbers) * tl.load(slot_a + at, mask=inside, other=0.0) + tl.load(numbers + 1) * g
        tl.store(slot_a + at, a, mask=inside)
        d = g + tl.load(numbers) * a if RULE == "nesterov" else a
    elif RULE == "adagrad":
        a = tl.load(slot_a + at, mask=inside, other=0.0) + g * g
        tl.store(slot_a + at, a, mask=inside)
        root = tl.sqrt_rn(a) + tl.load(numbers)
        d = g / tl.where(root == 0.0, 1.0, root)  # where a coordinate has never seen a gradient, and eps is 0
    elif RULE == "adadelta":
        rho, rest, eps = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2)
        a = rho * tl.load(slot_a + at, mask=inside, other=0.0) + rest * (g * g)
        b = tl.load(slot_b + at, mask=inside, other=0.0)
        d = tl.sqrt_rn(b + eps) / tl.sqrt_rn(a + eps) * g
        tl.store(slot_a + at, a, mask=inside)
        tl.store(slot_b + at, rho * b + rest * (d * d), mask=inside)
    elif RULE == "rmsprop inside" or RULE == "rmsprop outside":
        eps = tl.load(numbers + 2)
        a = tl.load(numbers) * tl.load(slot_a + at, mask=inside, other=0.0) + tl.load(numbers + 1) * (g * g)
        tl.store(slot_a + at, a, mask=inside)
        d = g / tl.sqrt_rn(a + eps) if RULE == "rmsprop inside" else g / (tl.sqrt_rn(a) + eps)
    else:
        a = tl.load(slot_a + at, mask=inside, other=0.0)
        a += tl.load(numbers) * (g - a)
        b = tl.load(numbers + 1) * tl.load(slot_b + at, mask=inside, other=0.0)
        b += tl.load(numbers + 2) * (g * g)
        tl.store(slot_a + at, a, mask=inside)
        tl.store(slot_b + at, b, mask=inside)
        denominator = tl.sqrt_rn(b) * tl.load(numbers + 3) + tl.load(numbers + 4)
        if RULE == "adam":
            d = a / denominator * tl.load(numbers + 5) + tl.load(numbers + 6) * param
        else:
            d = (tl.load(numbers + 5) * g + tl.load(numbers + 6) * a) / denominator
            if K > 7:  # a decoupled weight decay
                d += tl.load(numbers + 7) * param
    tl.store(theta + at, param - rate * d, mask=inside)
