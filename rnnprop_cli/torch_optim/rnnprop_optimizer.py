"""RNNprop (section 4.3 of the paper) as `torch.optim.Optimizer`."""

from torch import Tensor

from rnnprop_cli.optimizers.rnnprop import Moments
from rnnprop_cli.torch_optim.learned_optimizer import LearnedOptimizer


class RNNprop(LearnedOptimizer):
    """RNNprop: relative gradients g~ and m~ in, steps of at most `lr` out.

    theta <- theta - lr tanh(x_out), x_out = LSTM(g / sqrt(v), m / sqrt(v)) per coordinate (equations 7 to 9).
    `state` holds per parameter `exp_avg` and `exp_avg_sq` (its shape), `hidden` and `cell` ([2, 20, n] for n
    coordinates): 82 numbers a coordinate.

    The shipped weights were trained to lower the loss of a small network within 100 steps; they go on for some
    thousand, ever more slowly. A search over `lr` up to 0.5 or so pays (docs/reproduction.md). There are no betas and
    no eps to set: they belong to the weights.

    The network has an answer to every input: a coordinate whose gradient is always zero moves too, with lr = 0.1 by
    some 0.1 in 100 steps and 1.5 in 2,000. Freeze what is to stay (`requires_grad_(False)`, or no gradient).

    Example:
        >>> model = torch.nn.Linear(4, 2)
        >>> optimizer = RNNprop(model.parameters(), weights="rnnprop")
        >>> model(torch.ones(1, 4)).square().sum().backward()
        >>> optimizer.step()

    See `LearnedOptimizer` for the arguments.
    """

    kind = "rnnprop"
    accumulators = ("exp_avg", "exp_avg_sq")

    def _features(self, steps: int, accumulators_1N: list[Tensor]) -> Moments:
        return Moments(steps, *accumulators_1N)
