"""Schedule-Free AdamW walks the trajectory of its authors' package, in float64, and is evaluated at its average."""

import pytest
import schedulefree
import torch
from torch import Tensor

from rnnprop_cli.components.optimizers.schedule_free import ScheduleFreeAdamW

RATES = [0.003, 0.03, 0.3]


def loss(theta: Tensor) -> Tensor:
    x, y = theta[..., ::2], theta[..., 1::2]
    return ((1 - x) ** 2 + 5 * (y - x * x) ** 2).mean(-1)


@pytest.mark.parametrize(("warmup", "decay"), [(0, 0.0), (7, 0.0), (7, 0.1)])
@pytest.mark.parametrize("donate", [False, True])
def test_the_trajectory_and_the_average_are_those_of_the_authors(
    warmup: int, decay: float, donate: bool
) -> None:
    generator = torch.Generator().manual_seed(3)
    params_CP = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    theirs = [params.clone().requires_grad_() for params in params_CP]
    optimizers = [
        schedulefree.AdamWScheduleFree([theta], lr, warmup_steps=warmup, weight_decay=decay, foreach=False)
        for theta, lr in zip(theirs, RATES, strict=True)
    ]
    ours = ScheduleFreeAdamW(torch.tensor(RATES, dtype=torch.float64), warmup, weight_decay=decay)
    state = ours.init(params_CP)
    for optimizer in optimizers:
        optimizer.train()
    for _ in range(40):
        leaf = params_CP.clone().requires_grad_()
        (grads_CP,) = torch.autograd.grad(loss(leaf).sum(), leaf)
        updates_CP, state = ours.update(grads_CP, state, params_CP, donate=donate)
        params_CP = params_CP + updates_CP
        for theta, optimizer in zip(theirs, optimizers, strict=True):
            optimizer.zero_grad()
            loss(theta).backward()
            optimizer.step()
    # float64 rounding over 40 steps, amplified by the curvature at the largest rate
    torch.testing.assert_close(params_CP, torch.stack(theirs).detach(), rtol=1e-9, atol=1e-9)
    for optimizer in optimizers:
        optimizer.eval()
    torch.testing.assert_close(
        ours.evaluated(params_CP, state), torch.stack(theirs).detach(), rtol=1e-9, atol=1e-9
    )
    assert not torch.allclose(ours.evaluated(params_CP, state), params_CP)
