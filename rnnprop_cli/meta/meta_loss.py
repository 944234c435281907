"""What meta-training minimises, and its gradient with respect to every step of a window.

In the paper's numbering theta_1 is where the window starts and y_t = f(theta_t) is taken before update t; so f(theta_T)
has seen T - 1 updates, and the last update of a window has no influence on the window's own loss.

Shape legend: C cells, P coordinates, T inner steps.
"""

from typing import Literal

import torch
from torch import Tensor

MetaLoss = Literal["last", "mean"]


def meta_loss(kind: MetaLoss, losses_TC: Tensor) -> Tensor:
    """L = f(theta_T) ("last", RNNprop) or (1/T) sum_t f(theta_t) ("mean", DMoptimizer), averaged over the cells."""
    return (losses_TC[-1] if kind == "last" else losses_TC.mean(0)).mean()


def step_gradients(kind: MetaLoss, grads_SCP: Tensor, n_steps: int) -> Tensor:
    """dL / d(step t), [T, C, P], for detached gradients: those of all T losses, or with "last" of the last one alone.

    Because theta_s = theta_1 + sum_{t<s} step_t, this is sum_{s>t} w_s grad f(theta_s): the one vector grad f(theta_T)
    for every t < T with "last", a suffix sum of the later gradients with "mean"; zero for t = T.
    """
    n_cells = grads_SCP.shape[1]
    result = grads_SCP.new_zeros(n_steps, *grads_SCP.shape[1:])
    if kind == "last":
        result[:-1] = grads_SCP[-1] / n_cells
        return result
    for t in range(n_steps - 2, -1, -1):
        torch.add(result[t + 1], grads_SCP[t + 1], alpha=1 / (n_steps * n_cells), out=result[t])
    return result
