"""The learned optimizers as `torch.optim.Optimizer`: in a plain loop, under a scheduler, in anybody's trainer.

from rnnprop_cli import RNNprop

optimizer = RNNprop(model.parameters())
"""

from rnnprop_cli.torch_optim.dm_optimizer import DMOptimizer
from rnnprop_cli.torch_optim.mixture_optimizer import Mixture
from rnnprop_cli.torch_optim.rnnprop_optimizer import RNNprop
from rnnprop_cli.torch_optim.stepped_optimizer import LearnedOptimizer

__all__ = ["DMOptimizer", "LearnedOptimizer", "Mixture", "RNNprop"]
