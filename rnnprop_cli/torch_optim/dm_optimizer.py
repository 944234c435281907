"""DMoptimizer (Andrychowicz et al. 2016) as `torch.optim.Optimizer`."""

from pathlib import Path

import torch
from torch import Tensor

from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.kernels.select import KernelName
from rnnprop_cli.torch_optim.learned_optimizer import LearnedOptimizer, Params


class DMOptimizer(LearnedOptimizer):
    """DMoptimizer: log-encoded gradients in, unbounded steps out; theta <- theta + lr x_out.

    It is here to be compared with: trained on one kind of network it fails on others, which is the paper's point.
    `state` holds per parameter `hidden` and `cell` ([2, 20, n] for n coordinates).

    See `LearnedOptimizer` for the arguments.
    """

    kind = "dm"
    accumulators = ()

    def __init__(
        self,
        params: Params,
        lr: float | Tensor | None = None,
        *,
        weights: str | Path | Weights = "dm",
        weight_decay: float = 0.0,
        maximize: bool = False,
        state_dtype: torch.dtype | None = None,
        kernel: KernelName = "auto",
        database: str | Path | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            weights=weights,
            weight_decay=weight_decay,
            maximize=maximize,
            state_dtype=state_dtype,
            kernel=kernel,
            database=database,
        )

    def _features(self, steps: int, accumulators_1N: list[Tensor]) -> tuple[()]:
        return ()
