"""An optimizee of your own: a module with a scalar loss on data that it makes.

    [[optimizees]]
    kind = "module"
    source = "my_net.py:Rings"
    settings = { width = [16, 64] }    # arguments of __init__; a list is an axis

Check it with `rnnprop plugin check my_net.py:Rings`. With `dataset = "mnist"` or `dataset = "my_data.npz"` in the spec,
`forward` alone is enough: it is given inputs [M, *shape] and says scores [M, classes].
"""

import torch
from torch import Tensor, nn


class Rings(nn.Module):
    """Which of two noisy rings a point lies on."""

    chance_loss = 0.6931  # optional: what knowing nothing costs, here ln 2

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))

    def minibatch(self, generator: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
        """Tensors of one step, drawn from the generator alone: it is seeded by the cell's seed and the step."""
        ring = torch.randint(0, 2, (size,), generator=generator)
        angle = 2 * torch.pi * torch.rand(size, generator=generator)
        radius = 1 + ring + 0.2 * torch.randn(size, generator=generator)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), ring

    def loss(self, points: Tensor, ring: Tensor) -> Tensor:
        """One number, the mean over the minibatch."""
        return nn.functional.cross_entropy(self.net(points), ring)

    def heldout(self) -> tuple[Tensor, Tensor]:
        """Optional: data that training never sees, always the same."""
        return self.minibatch(torch.Generator().manual_seed(0), 1000)

    def accuracy(self, points: Tensor, ring: Tensor) -> Tensor:
        """Optional: one number from 0 to 1."""
        right: Tensor = self.net(points).argmax(dim=1) == ring
        return right.float().mean()
