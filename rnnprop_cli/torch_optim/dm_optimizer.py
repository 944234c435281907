"""DMoptimizer (Andrychowicz et al. 2016) as `torch.optim.Optimizer`."""

from torch import Tensor

from rnnprop_cli.torch_optim.learned_optimizer import CoordinatewiseOptimizer


class DMOptimizer(CoordinatewiseOptimizer):
    """DMoptimizer: log-encoded gradients in, unbounded steps out; theta <- theta + lr x_out.

    It is here to be compared with: trained on one kind of network it fails on others, which is the paper's point.
    `state` holds per parameter `hidden` and `cell` ([40, *its shape]) and `step`.

    See `CoordinatewiseOptimizer` for the arguments.
    """

    kind = "dm"
    accumulators = ()

    def _features(self, steps: int, accumulators_1N: list[Tensor]) -> tuple[()]:
        return ()
