"""RNNprop (section 4.3 of the paper) as `torch.optim.Optimizer`."""

from torch import Tensor

from rnnprop_cli.components.learned.rnnprop import Moments
from rnnprop_cli.torch_optim.learned_optimizer import CoordinatewiseOptimizer


class RNNprop(CoordinatewiseOptimizer):
    """RNNprop: relative gradients g~ and m~ in, steps of at most `lr` out.

    theta <- theta - lr tanh(x_out), x_out = LSTM(g / sqrt(v), m / sqrt(v)) per coordinate (equations 7 to 9).
    `state` holds per parameter `exp_avg` and `exp_avg_sq` (its shape), `hidden` and `cell` ([40, *its shape]), which is
    82 numbers a coordinate, and `step`.

    The shipped weights were trained to lower the loss of a small network within 100 steps; they go on for some
    thousand, ever more slowly. A search over `lr` up to 0.5 or so pays (docs/reproduction.md). Go down where the
    initial values are small: a first step is up to `lr` long, and where that is many times the size of a parameter's
    numbers its initialisation is lost (the first step warns of it). There are no betas and no eps to set: they belong
    to the weights.

    A coordinate sleeps until its first gradient that is not zero: until then it stays as it is. From then on the
    network has an answer to every input, gradients of zero too.

    Example:
        >>> model = torch.nn.Linear(4, 2)
        >>> optimizer = RNNprop(model.parameters(), weights="rnnprop")
        >>> model(torch.ones(1, 4)).square().sum().backward()
        >>> optimizer.step()

    See `CoordinatewiseOptimizer` for the arguments.
    """

    kind = "rnnprop"
    accumulators = ("exp_avg", "exp_avg_sq")

    def _features(self, steps: int, accumulators_1N: list[Tensor]) -> Moments:
        return Moments(steps, *accumulators_1N)
