"""Update rules, classical and learned, over a batch of cells.

An optimizer is `init(params) → state` and `update(grads, state, params) → (updates, state)`; its state is a NamedTuple
of tensors. The learning rate is a tensor with one entry per cell, so that a whole grid of rates runs at once.
`donate=True` hands the buffers of the old state over for reuse: same numbers, no copies, and the old state is gone.
"""
