"""Modules as a user writes them."""

import torch
from torch import Tensor, nn


class Rings(nn.Module):
    """Two rings."""

    chance_loss = 0.6931

    def __init__(self, width: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, 2))

    def minibatch(self, generator: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
        ring = torch.randint(0, 2, (size,), generator=generator)
        angle = 6.28 * torch.rand(size, generator=generator)
        return (1 + ring)[:, None] * torch.stack([angle.cos(), angle.sin()], 1), ring

    def loss(self, points: Tensor, ring: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.net(points), ring)

    def accuracy(self, points: Tensor, ring: Tensor) -> Tensor:
        return (self.net(points).argmax(1) == ring).float().mean()

    def heldout(self) -> tuple[Tensor, Tensor]:
        return self.minibatch(torch.Generator().manual_seed(0), 100)


class Recurrent(nn.Module):
    """vmap refuses nn.LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 3, batch_first=True)
        self.out = nn.Linear(3, 1)

    def minibatch(self, generator: torch.Generator, size: int) -> Tensor:
        return torch.randn(size, 4, 1, generator=generator).cumsum(1)

    def forward(self, walks: Tensor) -> Tensor:
        predicted = self.out(self.lstm(walks[:, :-1])[0][:, -1])
        return (predicted - walks[:, -1]).square().mean()


class Normed(nn.Module):
    """On a dataset; its BatchNorm writes into buffers."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 10)
        self.net = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


class Forgets(Rings):
    """Draws from no generator of ours."""

    def minibatch(self, generator: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
        points, ring = super().minibatch(generator, size)
        return points + torch.rand(size, 2), ring


class Vector(Rings):
    def loss(self, points: Tensor, ring: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.net(points), ring, reduction="none")


class Breaks(Rings):
    def loss(self, points: Tensor, ring: Tensor) -> Tensor:
        return self.absent(points)


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))


class Empty(nn.Module):
    pass


class Ends(Rings):
    def __init__(self) -> None:
        super().__init__()
        raise SystemExit(3)


class Late(Rings):
    """Fails at the third step of a walk, which no rehearsal takes."""

    def minibatch(self, generator: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls > 12:
            raise KeyError("no more data")
        return super().minibatch(generator, size)


number = 3
